"""BUDA: applications in containers, with a variant per processor (sched/buda.cpp).

``buda_apps/APP/desc.json`` and ``buda_apps/APP/VARIANT/variant.json``; a job names its BUDA app in its XML
(``<buda_app_name>``), and gets the best variant's files and resource usage along with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boinc_server import plan_class
from boinc_server.plan_class import HostUsage, Infeasible

if TYPE_CHECKING:
    from boinc_server.feeder import Slot
    from boinc_server.limits import Needs
    from boinc_server.project import Project
    from boinc_server.rpc import Rpc


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a BUDA app; `file_infos` and `file_refs` are XML."""

    cpu_type: str
    plan_class: str
    file_infos: str
    file_refs: str


def app_name_of(wu_xml_doc: str) -> str:
    """The BUDA app of a workunit, "" for ordinary ones."""
    _, found, rest = wu_xml_doc.partition("<buda_app_name>")
    return rest.partition("</buda_app_name>")[0].strip() if found else ""


def variants(project: Project, name: str) -> list[Variant]:
    """The variants of an app; unreadable ones are logged and left out."""
    root = project.path("buda_apps")
    app = root / name
    if "/" in name or name.startswith(".") or not (app / "desc.json").is_file():
        project.log.warning("no BUDA app %r", name)
        return []
    found = []
    for directory in sorted(p for p in app.iterdir() if p.is_dir()):
        try:
            data = json.loads((directory / "variant.json").read_text(encoding="utf-8"))
            found.append(Variant(data["cpu_type"], data["plan_class"], data["file_infos"], data["file_refs"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            project.log.warning("BUDA variant %s/%s: %s", name, directory.name, error)
    return found


def _host_cpu_type(platform: str) -> str:
    if "x86_64" in platform:
        return "intel"
    return "arm" if "arm" in platform or "aarch64" in platform else ""


def choose(rpc: Rpc, needs: Needs, slot: Slot, messages: dict[str, None]) -> tuple[Variant, HostUsage] | None:
    """The fastest variant that this host can run and asks for, None if there is none."""
    best: tuple[Variant, HostUsage] | None = None
    app = rpc.project.catalog.app(slot.row.appid)
    mine = _host_cpu_type(rpc.request.platform_name)
    for variant in variants(rpc.project, app_name_of(slot.row.wu_xml_doc)):
        if variant.cpu_type != mine:
            continue
        try:
            usage = plan_class.evaluate(rpc, needs, variant.plan_class, slot.row) if variant.plan_class else plan_class.sequential(rpc)
        except Infeasible as error:
            if str(error):
                messages[str(error)] = None
            continue
        if app is None or not needs.wants(app, usage):
            continue
        if best is None or usage.projected_flops > best[1].projected_flops:
            best = variant, usage
    return best


def add_files(wu_xml_doc: str, variant: Variant) -> str:
    """The workunit's XML with the variant's files in it."""
    before, _, rest = wu_xml_doc.partition("<workunit>")
    body, _, _ = rest.partition("</workunit>")
    return f"{before}{variant.file_infos}<workunit>{body}{variant.file_refs}</workunit>"


def usage_xml(usage: HostUsage, plan_class_name: str) -> str:
    """A job's own resource usage, which clients from 8.2 on read in the workunit."""
    lines = [f"    <avg_ncpus>{usage.avg_ncpus:f}</avg_ncpus>", f"    <flops>{usage.projected_flops:f}</flops>"]
    if plan_class_name:
        lines.insert(0, f"    <plan_class>{plan_class_name}</plan_class>")
    if usage.cmdline:
        lines.append(f"    <cmdline>{usage.cmdline}</cmdline>")
    if usage.gpu_usage:
        lines.append(f"    <coproc>\n        <type>{usage.proc_type}</type>\n        <count>{usage.gpu_usage:f}</count>\n    </coproc>")
    return "\n".join(lines) + "\n"
