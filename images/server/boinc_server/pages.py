"""The web pages of a project."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from boinc_server.master import scheduler_tags

if TYPE_CHECKING:
    from boinc_server.project import Project
    from boinc_server.public import Request
    from boinc_server.registry import Registry

HTML: Final = "text/html; charset=utf-8"


def overview(registry: Registry) -> bytes:
    """The list of projects."""
    items = "".join(f'<li><a href="/{p.name}/">{escape(p.long_name)}</a></li>\n' for p in registry)
    return f"<!DOCTYPE html>\n<title>Projects</title>\n<ul>\n{items}</ul>\n".encode()


async def handle(project: Project, request: Request, name: str) -> bool:
    """Answer a page; False when there is none of that name."""
    if name not in {"", "index.php"}:
        return False
    page = f"<!DOCTYPE html>\n<title>{escape(project.long_name)}</title>\n{scheduler_tags(project)}<h1>{escape(project.long_name)}</h1>\n"
    await request.reply(page.encode(), HTML)
    return True
