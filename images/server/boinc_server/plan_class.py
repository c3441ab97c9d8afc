"""Plan classes: whether a host can run an app version, and what of the host it will use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boinc_server.rpc import Rpc

CPU: Final = "CPU"
PROC_TYPES: Final = (CPU, "NVIDIA", "ATI", "intel_gpu", "apple_gpu")
DEFAULT_FPOPS: Final = 1e9
"""FLOPS of a host that has not run its benchmarks."""


@dataclass(slots=True)
class HostUsage:
    """What one job of an app version uses of the host (sched/sched_types.h: HOST_USAGE)."""

    proc_type: str = CPU
    gpu_usage: float = 0.0
    gpu_ram: float = 0.0
    avg_ncpus: float = 1.0
    mem_usage: float = 0.0
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


def evaluate(rpc: Rpc, name: str) -> HostUsage | str | None:
    """The usage of plan class `name` on this host; a text for the volunteer, or None, when it cannot run."""
    return sequential(rpc)
