"""`.env` for compose.test.yml: the tags of the images as they are now, and this checkout's own passwords.

`docker compose` reads the file by itself. Lines of other people are kept, and so are the passwords and ports once they are there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from harness import images

ENV_FILE = images.ROOT / ".env"
_IMAGES = {
    "BOINC_HARNESS_IMAGE_SERVER": ("server", ""),
    "BOINC_HARNESS_IMAGE_MAIL": ("mail", ""),
    "BOINC_HARNESS_IMAGE_CLIENT": ("client", "sid"),
}
_PASSWORDS = ("BOINC_HARNESS_CONTROL_TOKEN", "BOINC_HARNESS_GUI_RPC_PASSWORD")


def tags() -> dict[str, str]:
    """The image variables of compose.test.yml."""
    return {variable: images.tag(name, suite) for variable, (name, suite) in _IMAGES.items() if images.SPECS[name].exists}


def merge(text: str, values: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    """An env file's text with `values` set, `defaults` set where their variables are missing, and every other line as it was."""
    left = {**defaults, **values}
    lines: list[str] = []
    for line in text.splitlines():
        name = line.partition("=")[0].strip()
        default = left.pop(name, None)
        lines.append(f"{name}={values[name]}" if name in values and default is not None else line)
    lines += [f"{name}={value}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def write_env(path: Path = ENV_FILE) -> None:
    """Bring `.env` up to date; nothing is written when nothing has changed."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    new = merge(old, tags(), {name: secrets.token_urlsafe(16) for name in _PASSWORDS})
    if new != old:
        path.touch(mode=0o600)
        path.write_text(new, encoding="utf-8")
