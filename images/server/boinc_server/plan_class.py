"""Plan classes: whether a host can run an app version, and what of the host it will use.

With a plan_class_spec.xml in the project's directory that file says it all; without, names are interpreted
as sched/sched_customize.cpp does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boinc_server import trickles

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.limits import Needs
    from boinc_server.rpc import Rpc

CPU: Final = "CPU"
PROC_TYPES: Final = (CPU, "NVIDIA", "ATI", "intel_gpu", "apple_gpu")
DEFAULT_FPOPS: Final = 1e9
"""FLOPS of a host that has not run its benchmarks."""
MAX_THREADS: Final = 64
VBOX_MISSING: Final = "VirtualBox is not installed"
VBOX_UNUSABLE: Final = "VirtualBox is not usable"
VBOX_CLIENT: Final = "BOINC client 7.0+ required for Virtualbox jobs"
VBOX_ACCELERATION: Final = (
    "VirtualBox jobs require hardware acceleration support. Your processor does not support the required instruction set."
)


class Infeasible(Exception):
    """The host cannot run a plan class; the message, if any, is for the volunteer."""


@dataclass(slots=True)
class HostUsage:
    """What one job of an app version uses of the host (sched/sched_types.h: HOST_USAGE)."""

    proc_type: str = CPU
    gpu_usage: float = 0.0
    gpu_ram: float = 0.0
    avg_ncpus: float = 1.0
    mem_usage: float = 0.0
    """Bytes, in place of the job's rsc_memory_bound; 0 for that."""
    peak_flops: float = DEFAULT_FPOPS
    projected_flops: float = DEFAULT_FPOPS
    cmdline: str = ""

    @property
    def is_sequential(self) -> bool:
        return self.proc_type == CPU and self.avg_ncpus == 1.0


def host_fpops(rpc: Rpc) -> float:
    """FLOPS of one CPU of the host."""
    return rpc.request.host_info.p_fpops or rpc.host.p_fpops or DEFAULT_FPOPS


def sequential(rpc: Rpc) -> HostUsage:
    """The usage of an app version without a plan class: one CPU."""
    fpops = host_fpops(rpc)
    return HostUsage(peak_flops=fpops, projected_flops=fpops)


def has_acceleration(rpc: Rpc) -> bool:
    """Whether virtual machines can use the processor's extensions."""
    info = rpc.request.host_info
    return ("vmx" in info.p_features or "svm" in info.p_features) and not info.p_vm_extensions_disabled


def is_64bit(platform: str) -> bool:
    """sched/sched_util.cpp: is_64b_platform"""
    return "64" in platform


def vbox_version(rpc: Rpc) -> int:
    """10000 major + 100 minor + release of the host's VirtualBox. Raises Infeasible."""
    if rpc.request.core_client_major_version < 7:
        raise Infeasible(VBOX_CLIENT)
    text = rpc.request.host_info.virtualbox_version
    if not text:
        raise Infeasible(VBOX_MISSING)
    if "unusable" in text:
        raise Infeasible(VBOX_UNUSABLE)
    if trouble := trickles.vm_trouble(rpc):
        raise Infeasible(trouble)
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        raise Infeasible
    major, minor, release = (int(part) for part in found.groups())
    return 10000 * major + 100 * minor + release


def evaluate(rpc: Rpc, needs: Needs, name: str, wu: AnyRow | None = None) -> HostUsage:
    """The usage of plan class `name` on this host, for a workunit.

    Raises Infeasible.
    """
    specs = rpc.project.plan_classes()
    if specs is not None:
        return specs.check(rpc, needs, name, wu)
    usage = sequential(rpc)
    fpops, ncpus = host_fpops(rpc), needs.requests[CPU].processors
    if name == "mt":
        if ncpus < 2:
            raise Infeasible
        threads = min(ncpus, MAX_THREADS)
        # A little less than all, so that with one CPU the sequential version is preferred.
        return HostUsage(
            avg_ncpus=threads, cmdline=f"--nthreads {threads}", projected_flops=fpops * threads * 0.99, peak_flops=fpops * threads
        )
    if name == "nci":
        return HostUsage(avg_ncpus=0.01, projected_flops=fpops * 1.01, peak_flops=fpops * 0.01)
    if name == "sse3":
        if "pni" not in rpc.request.host_info.p_features.lower() and "pni" not in rpc.request.host_info.p_model:
            raise Infeasible
        usage.projected_flops *= 1.1
        return usage
    if "vbox" in name:
        return _vbox(rpc, name, usage, ncpus)
    if "wsl" in name:
        return usage
    rpc.project.log.error("Unknown plan class: %s", name)
    raise Infeasible


def _vbox(rpc: Rpc, name: str, usage: HostUsage, ncpus: int) -> HostUsage:
    """A plan class with vbox in its name and no specification (sched_customize.cpp: app_plan_vbox)."""
    try:
        version = vbox_version(rpc)
    except Infeasible as error:
        if str(error):
            raise
        raise Infeasible("VirtualBox version 3.2 or later is required") from None
    if version < 30200:
        raise Infeasible("VirtualBox version 3.2 or later is required")
    accelerated = has_acceleration(rpc)
    if ("hwaccel" in name or "64" in name) and not accelerated:
        raise Infeasible(VBOX_ACCELERATION)
    if is_64bit(rpc.request.platform_name) != ("64" in name):
        raise Infeasible
    scale = 1.0
    if "mt" in name:
        if accelerated:
            usage.avg_ncpus = ncpus
            usage.cmdline = f"--nthreads {ncpus:f}"
        scale = 0.99
    usage.peak_flops = host_fpops(rpc) * usage.avg_ncpus
    usage.projected_flops = usage.peak_flops * scale
    return usage
