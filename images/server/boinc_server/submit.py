"""Remote job submission (html/user/submit_rpc_handler.php, job_file.php)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boinc_server.project import Project
    from boinc_server.public import Request

RPCS: Final = frozenset[str]()


async def handle(project: Project, request: Request, name: str) -> None:
    """Answer one of RPCS."""
    raise NotImplementedError
