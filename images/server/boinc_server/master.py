"""The master page: what a client reads to learn the scheduler's URL (client/scheduler_op.cpp)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boinc_server.project import Project


def scheduler_tags(project: Project) -> str:
    """Both forms a client looks for.

    Each stands on a short line of its own, since the client reads 255 bytes at a time; attribute
    order and spacing of the link are fixed.
    """
    url = escape(project.scheduler_url, quote=True)
    return f'<link rel="boinc_scheduler" href="{url}">\n<!--\n<scheduler>{url}</scheduler>\n-->\n'
