"""Rendering: the template environment, what all pages have in common, and their headers."""

from __future__ import annotations

import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from boinc_server import states
from boinc_server.master import scheduler_tags

if TYPE_CHECKING:
    from boinc_server.project import Project
    from boinc_server.public import Request
    from boinc_server.registry import Registry

HTML: Final = "text/html; charset=utf-8"
CSP: Final = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS: Final = [
    (b"content-security-policy", CSP.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
PAGE_SIZE: Final = 50
_HERE: Final = Path(__file__).parent
STYLE: Final = (_HERE / "style.css").read_bytes()


def when(seconds: float) -> str:
    """A time of the project's clock, "-" for none."""
    if not 0 < seconds < states.NEVER:
        return "-"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def number_name(kind: type[IntEnum], value: int) -> str:
    """ "IN_PROGRESS" -> "in progress"; a number BOINC does not know stays one."""
    try:
        return str(kind(value).name).lower().replace("_", " ")
    except ValueError:
        return str(value)


def error_mask(value: int) -> str:
    return ", ".join(flag.name.lower().replace("_", " ") for flag in states.ErrorMask if flag and value & flag and flag.name) or "-"


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def bar(count: int, total: int) -> Markup:
    """A bar that needs neither script nor inline style: an SVG rectangle."""
    width = round(300 * count / total) if total else 0
    svg = '<svg class="bar" width="300" height="12" role="img" aria-label="{0}"><rect width="{1}" height="12"/></svg>'
    return Markup(svg).format(count, width)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"when": when, "size": size, "error_mask": error_mask}
    environment.globals |= {
        "bar": bar,
        "server_state": lambda value: number_name(states.ServerState, value),
        "outcome": lambda value: number_name(states.Outcome, value),
        "validate_state": lambda value: number_name(states.ValidateState, value),
        "assimilate_state": lambda value: number_name(states.AssimilateState, value),
        "file_delete_state": lambda value: number_name(states.FileDeleteState, value),
        "client_state": lambda value: number_name(states.ClientState, value),
    }
    return environment


_ENVIRONMENT: Final = _environment()


async def page(request: Request, template: str, status: int = 200, **values: Any) -> None:
    """Render a template of the request's project and send it."""
    project = request.project
    assert project is not None
    text = _ENVIRONMENT.get_template(template).render(
        project=project, base=f"/{project.name}/", ops=f"/{project.name}_ops/", now=project.clock.now(), **({"user": None} | values)
    )
    await request.reply(text.encode("utf-8", "replace"), HTML, status, HEADERS)


async def message(request: Request, title: str, text: str, status: int = 200) -> None:
    """A page that says one thing."""
    await page(request, "message.html", status, title=title, text=text)


def overview(registry: Registry) -> bytes:
    """The list of projects, at the root of the server."""
    return _ENVIRONMENT.get_template("overview.html").render(projects=list(registry)).encode("utf-8", "replace")


def tags(project: Project) -> Markup:
    """The scheduler's URL for clients, as markup."""
    return Markup(scheduler_tags(project))


def offset(parameters: dict[str, str], name: str = "offset") -> int:
    """A non-negative number from the URL, 0 when it is none."""
    text = parameters.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
