"""One scheduler RPC, from the body to the reply (sched/sched_main.cpp, sched/handle_request.cpp).

RPCs of a project are handled one after another inside one transaction each, which is also what the
stock server's per-host lock is for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from boinc_server import code_sign, crypt, dispatch, hosts, preferences, reports, storage, trickles
from boinc_server.aborts import send_result_aborts
from boinc_server.rpc import Rpc
from boinc_server.wire import reply as wire
from boinc_server.wire.parse import parse_request
from boinc_server.wire.reader import WireError
from boinc_server.wire.reply import HostData, SchedulerReply, UserData
from boinc_server.wire.request import SchedulerRequest

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.project import Project

MAINTENANCE: Final = "Project is temporarily shut down for maintenance"
BAD_KEY: Final = wire.translatable("Invalid or missing account key.  To fix, remove and add this project.")
#: where the request names no host, upstream has other words for it
BAD_KEY_OF_NO_HOST: Final = "Invalid or missing account key.  To fix, remove and add this project ."
FIRST_THAT_TRANSLATES: Final = 61200
TOO_OLD: Final = wire.translatable("Your BOINC client software is too old.  Please install the current version.")


def parse(body: bytes) -> SchedulerRequest | WireError:
    """The request, or why it is none. Raises WireError 413."""
    try:
        return parse_request(body)
    except WireError as error:
        if error.status == 413:
            raise
        return error


def handle_request(project: Project, body: bytes, remote_addr: str = "", request: SchedulerRequest | WireError | None = None) -> bytes:
    """The reply to a scheduler RPC. Never raises for anything the client sent, except WireError 413.

    Args:
        request: what `parse` made of the body, if that has been done already.
    """
    config = project.config
    # A master_url in the configuration is where clients shall move to; the pages stay where they are.
    master_url = config.master_url or project.master_url
    reply = SchedulerReply(project_name=project.long_name, master_url=master_url, nucleus_only=True, ended=config.ended)
    reply.send_full_workload = config.workload_sim
    if config.stop_sched:
        reply.insert_message(MAINTENANCE)
        reply.set_delay(config.maintenance_delay)
        reply.project_is_down = True
        project.emit("rpc.scheduler", host=0, user=0, messages=[MAINTENANCE], error="down", request_delay=reply.request_delay)
        return reply.write()
    request = request or parse(body)
    if isinstance(request, WireError):
        reply.insert_message(f"Error in request message: {request.what}")
        project.log.warning("incomplete scheduler request from %s: %s", remote_addr, request.what)
        project.emit("rpc.scheduler", host=0, user=0, messages=[m.text for m in reply.messages], error=request.what)
        return reply.write()
    with project.transaction() as tx:
        reply.translates = request.core_client_version >= FIRST_THAT_TRANSLATES
        _process(project, tx, request, reply, remote_addr)
    return reply.write(config.min_sendwork_interval)


def _process(project: Project, tx: Transaction, request: SchedulerRequest, reply: SchedulerReply, remote_addr: str) -> None:
    """process_request: the order of the steps is the stock scheduler's."""
    ok_to_send_work = not _banned(project, request, reply)
    if not request.host_info.p_vendor:
        reply.insert_message("Missing CPU type in request", "notice")
    if not request.host_info.os_name:
        reply.insert_message("Missing OS name in request", "notice")
    if not ok_to_send_work and not request.results:
        _emit(tx, request, reply, error="refused")
        return
    _announce_minimum(project, tx, request, reply)
    try:
        caller = hosts.authenticate(tx, request)
    except hosts.NotAuthenticatedError as error:
        reply.insert_message(*((BAD_KEY, "notice") if error.knows_host else (BAD_KEY_OF_NO_HOST, "low")))
        reply.set_delay(wire.DELAY_MISSING_KEY)
        project.log.warning("[HOST#%d] bad authenticator from %s", request.hostid, remote_addr)
        _emit(tx, request, reply, error="authenticator")
        return
    for text in caller.messages:
        reply.insert_message(text)
    rpc = Rpc(project, tx, request, reply, caller.user, caller.host, ok_to_send_work=ok_to_send_work)
    if rpc.host.max_results_day == -1:
        reply.insert_message("Not accepting requests from this host")
        reply.set_delay(wire.DELAY_UNACCEPTABLE)
        _emit(tx, request, reply, rpc, error="banned host")
        return
    reply.nucleus_only = False
    _describe_caller(rpc, caller)
    rpc.host_changes |= hosts.client_columns(request)
    rpc.host_changes |= {"rpc_seqno": request.rpc_seqno, "rpc_time": tx.now}
    if request.host_info.host_cpid:
        rpc.host_changes["host_cpid"] = hosts.stored_cpid(request.host_info.host_cpid, rpc.user.email_addr)
    if remote_addr:
        rpc.host_changes["external_ip_addr"] = remote_addr[:254]
    same_address = rpc.host.last_ip_addr == request.host_info.ip_addr
    rpc.host_changes["nsame_ip_addr"] = rpc.host.nsame_ip_addr + 1 if same_address else 0
    if not _find_platforms(rpc):
        _emit(tx, request, reply, rpc, error="platform")
        return
    _serve(rpc, caller.weak_auth)
    hosts.update_record(tx, rpc.host, rpc.host_changes)
    _emit(tx, request, reply, rpc)


def _serve(rpc: Rpc, weak_auth: bool) -> None:
    """Everything for an accepted host: preferences, reports, aborts, work, trickles."""
    config, request = rpc.project.config, rpc.request
    preferences.handle(rpc, weak_auth=weak_auth)
    reports.handle(rpc)
    trickles.handle_up(rpc)  # before work is chosen: one may say what the host cannot do
    requesting_work = _requesting_work(rpc)
    if not requesting_work:
        rpc.ok_to_send_work = False
    if request.have_other_results_list:
        if rpc.ok_to_send_work and dispatch.resend_lost_results(rpc):
            rpc.ok_to_send_work = False
        if config.send_result_abort:
            send_result_aborts(rpc)
    if requesting_work:
        if not code_sign.send_key(rpc):
            rpc.ok_to_send_work = False
        _check_interval(rpc)
        if rpc.ok_to_send_work:
            dispatch.send_work(rpc)
    trickles.handle_down(rpc)
    _extras(rpc)


def _requesting_work(rpc: Rpc) -> bool:
    """Work is asked for, or always wanted: a non-CPU-intensive app has one job on each host."""
    request = rpc.request
    if request.wants_work or request.dont_send_work:
        return request.wants_work
    return any(app.non_cpu_intensive and not app.deprecated for app in rpc.project.catalog.apps())


def _banned(project: Project, request: SchedulerRequest, reply: SchedulerReply) -> bool:
    """Client version, operating system and CPU: a notice and a day's delay."""
    config, info = project.config, request.host_info
    if request.core_client_version < config.min_core_client_version:
        reply.insert_message(TOO_OLD, "notice")
    elif _matches(config.ban_os, f"{info.os_name}\t{info.os_version}"):
        reply.insert_message(wire.translatable("This project doesn't support operating system", info.os_name, info.os_version), "notice")
    elif _matches(config.ban_cpu, f"{info.p_vendor}\t{info.p_model}"):
        reply.insert_message(wire.translatable("This project doesn't support CPU type", info.p_vendor, info.p_model), "notice")
    else:
        return False
    reply.set_delay(wire.DELAY_UNACCEPTABLE)
    return True


def _matches(patterns: list[str], text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)


def _announce_minimum(project: Project, tx: Transaction, request: SchedulerRequest, reply: SchedulerReply) -> None:
    """Warn of a version requirement that is to come (warn_user_if_core_client_upgrade_scheduled)."""
    minimum = project.config.min_core_client_version_announced
    hours = (project.config.min_core_client_upgrade_deadline - tx.now) // 3600
    if request.core_client_version >= minimum or hours <= 0:
        return
    days, hours = divmod(hours, 24)
    version = f"{minimum // 10000}.{minimum // 100 % 100}.{minimum % 100}"
    reply.insert_message(
        f"In {days} days and {hours} hours, this project will require a minimum BOINC version of {version}.  "
        f"You are currently using version {request.client_version}; please upgrade before this time.",
        "notice" if days < 3 else "low",
    )


def _describe_caller(rpc: Rpc, caller: hosts.Caller) -> None:
    """User and host data of the reply; a new user CPID from the client is stored."""
    user, host, cpid = rpc.user, rpc.host, rpc.user.cross_project_id
    sent = rpc.request.cross_project_id
    if sent and sent != cpid and not caller.weak_auth and len(sent) == 32 and sent.isalnum():
        preferences.store_user(rpc.tx, user.id, {"cross_project_id": sent})
        cpid = sent
    rpc.reply.user = UserData(
        user.id,
        user.name,
        user.total_credit,
        user.expavg_credit,
        user.create_time,
        email_hash=crypt.md5_text(user.email_addr),
        cross_project_id=cpid,
        external_cpid=crypt.md5_text(cpid + user.email_addr) if cpid else "",
        teamid=user.teamid,
        team_name=preferences.team_name(rpc.tx, user.teamid) if user.teamid else "",
    )
    rpc.reply.project_preferences = preferences.inner(user.project_prefs, "project_preferences")
    rpc.reply.host = HostData(host.id, host.total_credit, host.expavg_credit, host.create_time, host.venue, send_id=caller.send_hostid)


def _find_platforms(rpc: Rpc) -> bool:
    """The client's platforms this project knows; with none of them a notice and a day's delay."""
    request = rpc.request
    if request.anonymous_platform:
        rpc.platforms = ["anonymous"]
        return True
    known = rpc.project.catalog.platforms()
    rpc.platforms = [name for name in request.platforms if name in known]
    if rpc.platforms:
        return True
    rpc.reply.insert_message(wire.translatable("This project doesn't support computers of type", request.platform_name), "notice")
    rpc.reply.set_delay(wire.DELAY_UNACCEPTABLE)
    return False


def _check_interval(rpc: Rpc) -> None:
    """No work when the last RPC was less than min_sendwork_interval ago."""
    interval = rpc.project.config.min_sendwork_interval
    if not interval or not rpc.ok_to_send_work:
        return
    elapsed = rpc.now - rpc.host.rpc_time
    if elapsed < interval:
        rpc.ok_to_send_work = False
        wait = int(interval - elapsed)
        rpc.reply.insert_message(f"Not sending work. Last request too recent. Please wait {wait} seconds.")
        rpc.reply.set_delay(1.01 * interval)


def _extras(rpc: Rpc) -> None:
    """Flags and hints that depend on the configuration only."""
    config, reply = rpc.project.config, rpc.reply
    reply.next_rpc_delay = config.next_rpc_delay
    if config.request_delay:
        reply.set_delay(config.request_delay)
    reply.non_cpu_intensive = config.non_cpu_intensive
    reply.strict_memory_bound = config.strict_memory_bound
    reply.verify_files_on_app_start = config.verify_files_on_app_start
    reply.symstore = config.symstore
    reply.trickle_up_urls = list(config.trickle_up_urls)
    reply.send_job_log = config.send_job_log
    if config.request_time_stats_log:
        _time_stats_log(rpc)
    if config.do_file_delete_regex:
        pattern = re.compile(config.do_file_delete_regex)
        reply.delete_file_infos += [info.name for info in rpc.request.file_infos if pattern.search(info.name)]
    preferences.add_urls(rpc)


def _time_stats_log(rpc: Rpc) -> None:
    """Keep the log that the host sent; ask for it until it is there (sched/time_stats_log.cpp)."""
    path = rpc.project.path("time_stats_log", str(rpc.host.id % 1000), str(rpc.host.id))
    if rpc.request.time_stats_log:
        storage.write_atomically(path, rpc.request.time_stats_log.encode("utf-8", "replace"))
    rpc.reply.send_time_stats_log = not path.is_file()


def _emit(tx: Transaction, request: SchedulerRequest, reply: SchedulerReply, rpc: Rpc | None = None, error: str = "") -> None:
    tx.emit(
        "rpc.scheduler",
        host=rpc.host.id if rpc else 0,
        user=rpc.user.id if rpc else 0,
        seqno=request.rpc_seqno,
        client_version=request.client_version,
        reported=rpc.reported if rpc else [],
        sent=rpc.sent if rpc else [],
        aborted=[*reply.result_aborts, *reply.result_aborts_if_not_started],
        messages=[message.text for message in reply.messages],
        request_delay=reply.request_delay,
        wants_work=request.wants_work,
        **({"error": error} if error else {}),
    )
