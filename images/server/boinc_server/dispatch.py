"""Sending work: which unsent results a host gets (sched/sched_score.cpp, sched_send.cpp, sched_check.cpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from boinc_server import assign, buda, feasibility, hav, models
from boinc_server.database import AnyRow
from boinc_server.feeder import ONE, Slot, Work
from boinc_server.limits import Needs
from boinc_server.states import ServerState
from boinc_server.versions import BestVersion, VersionChooser
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.rpc import Rpc

_R, _W = models.result.c, models.workunit.c
_SEND: Final = (
    update(models.result)
    .where(_R.id == bindparam("_id"), _R.server_state == bindparam("old_state"))
    .values(
        server_state=int(ServerState.IN_PROGRESS),
        hostid=bindparam("host"),
        userid=bindparam("user"),
        sent_time=bindparam("sent"),
        report_deadline=bindparam("deadline"),
        app_version_id=bindparam("version"),
        flops_estimate=bindparam("flops"),
        mod_time=bindparam("now"),
    )
)
_WORKUNIT_SENT: Final = (
    update(models.workunit)
    .where(_W.id == bindparam("_id"), _W.transition_time > bindparam("deadline"))
    .values(transition_time=bindparam("deadline"))
)
_LOST: Final = select(_R.id, _R.name, _R.report_deadline, _R.sent_time, _R.app_version_id).where(
    _R.hostid == bindparam("host"), _R.server_state == int(ServerState.IN_PROGRESS)
)
_APPS_HELD: Final = select(_R.appid).where(_R.hostid == bindparam("host"), _R.name.in_(bindparam("names", expanding=True)))
_EXPIRE: Final = update(models.result).where(_R.id == bindparam("_id")).values(report_deadline=bindparam("deadline"))
_DAY: Final = 86400
DELAY_NO_WORK: Final = 0.0
MAX_LOOKED_AT: Final = 5000


def send_work(rpc: Rpc) -> None:
    """Fill the client's work request from the feeder's slots, or say why not."""
    needs = Needs(rpc)
    _new_day(rpc)
    config = rpc.project.config
    if config.work_generators:
        rpc.tx.after_commit(rpc.project.generators.check)
    if not config.enable_assignment and rpc.project.feeder.is_empty(rpc.tx):
        # nothing is even looked for then, not even broadcast jobs (handle_request.cpp: have_no_work)
        rpc.reply.insert_message("Project has no tasks available")
        return
    chooser = VersionChooser(rpc, needs)
    checks = feasibility.Checks(rpc, needs, chooser)
    sent: list[Slot] = []
    tried = 0
    if assign.send(rpc, needs, chooser, checks):
        _count_sent(rpc, needs)
        return
    sent += _send_non_cpu_intensive(rpc, needs, chooser, checks)
    for slot in checks.ordered(rpc.project.feeder.slots(rpc.tx)):
        tried += 1
        if not needs.open or tried > MAX_LOOKED_AT:
            break
        if _is_nci(rpc, slot):
            continue
        best = chooser.choose(slot)
        if best is None:
            continue
        checks.offered_apps.add(slot.row.appid)
        if not checks.feasible(slot, best):
            continue
        # When it cannot be sent somebody changed it behind our back: not a slot any more either.
        commit(rpc, slot, best, needs, checks)
        sent.append(slot)
    if sent:
        rpc.project.feeder.taken(sent)
    _count_sent(rpc, needs)
    if not needs.sent:
        feasibility.explain(rpc, needs, chooser, checks)


def _count_sent(rpc: Rpc, needs: Needs) -> None:
    for key, count in needs.sent_by_version().items():
        hav.on_sent(rpc.tx, rpc.host.id, key, count)


def _is_nci(rpc: Rpc, slot: Slot) -> bool:
    app = rpc.project.catalog.app(slot.row.appid)
    return app is None or bool(app.non_cpu_intensive)


def _send_non_cpu_intensive(rpc: Rpc, needs: Needs, chooser: VersionChooser, checks: feasibility.Checks) -> list[Slot]:
    """One job of each non-CPU-intensive app of which the host has none (sched/sched_nci.cpp)."""
    project = rpc.project
    missing = {app.id for app in project.catalog.apps() if app.non_cpu_intensive and not app.deprecated}
    if not missing:
        return []
    names = [held.name for held in rpc.request.other_results]
    missing -= {row.appid for row in rpc.tx.execute(_APPS_HELD, {"host": rpc.host.id, "names": names})}
    sent: list[Slot] = []
    for slot in project.feeder.slots(rpc.tx):
        if slot.row.appid in missing:
            best = chooser.choose(slot, check_needs=False)
            missing.discard(slot.row.appid)
            if best is not None and checks.feasible(slot, best) and commit(rpc, slot, best, needs, checks):
                sent.append(slot)
    return sent


def _new_day(rpc: Rpc) -> None:
    """Start the daily quotas afresh at the host's own midnight, which differs from host to host."""
    if not rpc.project.config.daily_result_quota:
        return
    shift = rpc.host.id * 7919 % _DAY
    if (rpc.host.rpc_time + shift) // _DAY != (rpc.now + shift) // _DAY:
        hav.new_day(rpc.tx, rpc.host.id)


def commit(
    rpc: Rpc,
    slot: Slot,
    best: BestVersion,
    needs: Needs,
    checks: feasibility.Checks,
    *,
    deadline: int = 0,
) -> bool:
    """Write that a result is sent, and put it into the reply. False when it was not to be had any more.

    Args:
        deadline: of a result that is sent again; 0 for a new one.
    """
    tx, row = rpc.tx, slot.row
    resent = deadline > 0
    if not resent:
        deadline = tx.now + checks.delay_bound(slot)
    stored = int(deadline + rpc.project.config.grace_period())
    values: dict[str, Any] = {
        "_id": slot.id,
        "old_state": int(ServerState.IN_PROGRESS if resent else ServerState.UNSENT),
        "host": rpc.host.id,
        "user": rpc.user.id,
        "sent": tx.now,
        "deadline": stored,
        "version": best.app_version_id,
        "flops": best.usage.projected_flops,
        "now": tx.now,
    }
    if tx.execute(_SEND, values).rowcount != 1:
        return False
    changes = checks.workunit_changes(slot, best)
    if changes:
        tx.update(models.workunit, row.workunitid, **changes)
    tx.execute(_WORKUNIT_SENT, {"_id": row.workunitid, "deadline": stored})
    rpc.project.daemons.schedule(stored)
    duration = checks.duration(slot, best)
    if resent:
        needs.sent += 1
    else:
        needs.used(row.appid, best.key, best.usage, duration, fills=not _is_nci(rpc, slot))
    _add_to_reply(rpc, row, best, deadline)
    rpc.sent.append(row.name)
    tx.emit(
        "result.resent" if resent else "result.sent",
        result=slot.id,
        name=row.name,
        workunit=row.workunitid,
        host=rpc.host.id,
        deadline=deadline,
        app_version=best.app_version_id,
    )
    if changes.get("target_nresults"):
        # An untrusted host: the other replicas are to be made now.
        tx.due(row.workunitid)
    return True


def _add_to_reply(rpc: Rpc, row: AnyRow, best: BestVersion, deadline: int) -> None:
    reply = rpc.reply
    app = rpc.project.catalog.app(row.appid)
    assert app is not None
    reply.apps.append(
        f"<app>\n    <name>{app.name}</name>\n    <user_friendly_name>{escape(app.user_friendly_name)}</user_friendly_name>\n"
        f"    <non_cpu_intensive>{int(bool(app.non_cpu_intensive))}</non_cpu_intensive>\n"
        f"    <fraction_done_exact>{int(bool(app.fraction_done_exact))}</fraction_done_exact>\n</app>\n"
    )
    version_tags = ""
    if best.version is not None:
        version = best.version
        reply.app_versions.append(_app_version_xml(best))
        version_tags = (
            f"    <platform>{version.platform}</platform>\n"
            f"    <version_num>{version.version_num}</version_num>\n"
            f"    <plan_class>{version.plan_class}</plan_class>\n"
        )
    workunit = (
        f"<workunit>\n    <rsc_fpops_est>{row.rsc_fpops_est:f}</rsc_fpops_est>\n"
        f"    <rsc_fpops_bound>{row.rsc_fpops_bound:f}</rsc_fpops_bound>\n"
        f"    <rsc_memory_bound>{row.rsc_memory_bound:f}</rsc_memory_bound>\n"
        f"    <rsc_disk_bound>{row.rsc_disk_bound:f}</rsc_disk_bound>\n"
        f"    <name>{row.wu_name}</name>\n    <app_name>{app.name}</app_name>\n"
    )
    if row.keywords:
        workunit += f"    <job_keyword_ids>{escape(row.keywords)}</job_keyword_ids>\n"
    xml_doc = row.wu_xml_doc
    if best.variant is not None:
        xml_doc = buda.add_files(xml_doc, best.variant)
        workunit += buda.usage_xml(best.usage, best.variant.plan_class)
    reply.workunits.append(xml_doc.replace("<workunit>\n", workunit, 1) + "\n")
    result = f"<result>\n<report_deadline>{deadline}</report_deadline>\n<wu_name>{row.wu_name}</wu_name>\n<name>{row.name}</name>\n"
    xml = row.xml_doc_in.replace("<result>\n", result, 1)
    reply.results.append(xml.replace("</result>", f"\n{version_tags}</result>", 1) + "\n")


def _app_version_xml(best: BestVersion) -> str:
    version, usage = best.version, best.usage
    assert version is not None
    tags = f"    <platform>{version.platform}</platform>\n"
    if version.plan_class:
        tags += f"    <plan_class>{version.plan_class}</plan_class>\n"
    tags += f"    <avg_ncpus>{usage.avg_ncpus:f}</avg_ncpus>\n    <flops>{usage.projected_flops:f}</flops>\n"
    if usage.cmdline:
        tags += f"    <cmdline>{escape(usage.cmdline)}</cmdline>\n"
    if usage.gpu_usage:
        tags += f"    <coproc>\n        <type>{usage.proc_type}</type>\n        <count>{usage.gpu_usage:f}</count>\n    </coproc>\n"
    if usage.gpu_ram:
        tags += f"    <gpu_ram>{usage.gpu_ram:f}</gpu_ram>\n"
    return version.xml_doc.replace("</app_version>", f"{tags}</app_version>", 1)


def resend_lost_results(rpc: Rpc) -> bool:
    """Send again what this host should hold but does not (sched_resend.cpp). True when something was sent."""
    config, tx = rpc.project.config, rpc.tx
    if not config.resend_lost_results:
        return False
    held = {other.name for other in rpc.request.other_results}
    lost = [row for row in tx.all(_LOST, host=rpc.host.id) if row.name not in held]
    if not lost:
        return False
    needs = Needs(rpc)
    chooser = VersionChooser(rpc, needs)
    checks = feasibility.Checks(rpc, needs, chooser)
    any_sent = False
    for row in lost:
        if needs.sent >= needs.max_jobs:
            break
        found = tx.one(ONE, id=row.id)
        if found is None:
            continue
        slot = Slot((-found.priority, found.id), found.id, found, Work.of(found))
        best = chooser.choose(slot, check_needs=False)
        expired = best is None or found.error_mask or checks.over(slot)
        if expired or best is None:
            tx.execute(_EXPIRE, {"_id": row.id, "deadline": tx.now - 1})
            rpc.reply.insert_message(f"Didn't resend lost task {row.name} (expired)")
            tx.due(found.workunitid)
            continue
        # The database's deadline has the grace period in it, the client's has not.
        old = int(row.report_deadline - config.grace_period())
        span = max(0, old - row.sent_time)
        deadline = min(max(old, tx.now + span // 2), tx.now + found.delay_bound)
        if commit(rpc, slot, best, needs, checks, deadline=deadline):
            rpc.reply.insert_message(f"Resent lost task {row.name}")
            any_sent = True
    return any_sent
