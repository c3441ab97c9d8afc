"""Remote job submission over HTTP (html/user/submit_rpc_handler.php, job_file.php, get_output*.php)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boinc_server.submit import files, outputs
from boinc_server.submit.access import RpcError, allow, error_reply, may_use_files, parse
from boinc_server.submit.rpcs import COMMANDS
from boinc_server.wire import limits

if TYPE_CHECKING:
    from boinc_server.project import Project
    from boinc_server.public import Request

XML: Final = "text/xml; charset=utf-8"
RPCS: Final = frozenset({"submit_rpc_handler.php", "job_file.php", "get_output.php", "get_output2.php"})
__all__ = ["RPCS", "allow", "handle"]


async def handle(project: Project, request: Request, name: str) -> None:
    """Answer one of RPCS."""
    if name.startswith("get_output"):
        await outputs.handle(project, request)
        return

    def may_be_big(form: files.Form) -> bool:
        return name == "job_file.php" and may_use_files(project, form.fields.get("request", ""))

    form = await files.read_form(request, limits.MAX_FORM, may_be_big)
    text = form.fields.get("request", "")
    command = ""
    try:
        call = parse(text)
        command = str(call.tag)
        if name == "job_file.php":
            inner = files.handle(project, call, form)
        else:
            rpc = COMMANDS.get(command)
            if rpc is None:
                command = ""
                raise RpcError("bad command")
            inner = rpc(project, call)
        reply = f"<{command}>\n{inner}</{command}>\n"
    except RpcError as error:
        project.log.warning("%s %s: %s", name, command, error)
        project.emit("submit.error", rpc=command, why=str(error))
        reply = error_reply(command, str(error))
    await request.reply(reply.encode("utf-8", "replace"), XML)
