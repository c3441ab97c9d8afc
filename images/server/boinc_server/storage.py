"""Where files lie below download/ and upload/ (sched/sched_util_basic.cpp: dir_hier_path, dir_hier_url)."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boinc_server.project import Project

MAX_NAME: Final = 255
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f/\\%<>&\"'`]")


class BadFilenameError(ValueError):
    """A physical file name that a client could not take, or that points elsewhere."""


def check_name(name: str) -> str:
    """A physical file name, as it came.

    Raises BadFilenameError for what the client refuses (``..``, ``%``), for anything that is more than a plain
    name, and for characters that would need quoting in XML or a URL.
    """
    if not name or len(name.encode()) > MAX_NAME or ".." in name or name[0] in ".-" or _FORBIDDEN.search(name):
        raise BadFilenameError(f"not usable as a physical file name: {name[:80]!r}")
    return name


def fanout(name: str, directories: int) -> str:
    """The fan-out directory of a file: characters 1..7 of its name's MD5, modulo; "" when there is none."""
    if directories == 0:
        return ""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{int(digest[1:8], 16) % directories:x}"


def path(root: Path, name: str, directories: int) -> Path:
    """Where a file lies below `root` (which exists; the directory in between may not)."""
    return root / fanout(name, directories) / name


def download_path(project: Project, name: str) -> Path:
    return path(project.path("download"), name, project.config.uldl_dir_fanout)


def upload_path(project: Project, name: str) -> Path:
    return path(project.path("upload"), name, project.config.uldl_dir_fanout)


def download_url(project: Project, name: str) -> str:
    """The URL of an input file (application files are not fanned out)."""
    directory = fanout(name, project.config.uldl_dir_fanout)
    return f"{project.download_url}/{directory}/{name}" if directory else f"{project.download_url}/{name}"


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.write_bytes(content)
    temporary.replace(target)


def read_md5_file(target: Path) -> tuple[str, float] | None:
    """MD5 and size from NAME.md5 beside a staged file, None when it is missing or damaged."""
    try:
        digest, size = Path(f"{target}.md5").read_text(encoding="ascii").split()
        return digest, float(size)
    except (OSError, ValueError):
        return None
