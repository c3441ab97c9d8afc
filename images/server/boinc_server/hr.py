"""Homogeneous redundancy: classes of hosts whose results are bit for bit the same (sched/hr.cpp)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from boinc_server.states import HomogeneousRedundancy

if TYPE_CHECKING:
    from boinc_server.wire.request import HostInfo

_OS: Final = (("Linux", 256), ("Windows", 384), ("Darwin", 512), ("FreeBSD", 640), ("Android", 768))
NO_CPU: Final = 0
INTEL: Final = 1
AMD: Final = 2
ARM: Final = 3
_FINE_BASE: Final = 10
_MAX_CPU_CLASS: Final = 127


def _os_class(info: HostInfo) -> int:
    # Android reports Linux as its kernel's name in some clients, hence it is looked for first.
    text = f"{info.os_name} {info.os_version}"
    if "Android" in text:
        return 768
    return next((number for name, number in _OS if name in text), 0)


def _vendor(info: HostInfo) -> int:
    text = f"{info.p_vendor} {info.p_model}"
    if "Intel" in text:
        return INTEL
    if "AMD" in text:
        return AMD
    if re.search(r"\bARM|[Aa]pple|aarch64", text):
        return ARM
    return NO_CPU


def hr_class(info: HostInfo, kind: int) -> int | None:
    """The class of a host: CPU part + OS part; None when either is unknown.

    Coarse: OS, and Intel or AMD taken as one. Fine: OS, vendor and CPU model.
    """
    system, vendor = _os_class(info), _vendor(info)
    if not system or not vendor:
        return None
    if kind == HomogeneousRedundancy.COARSE:
        return system + (INTEL if vendor in (INTEL, AMD) else vendor)
    model = re.search(r"Family (\d+) Model (\d+)", info.p_model, re.IGNORECASE)
    detail = (int(model.group(1)) * 16 + int(model.group(2))) if model else sum(info.p_model.encode())
    return system + vendor * 32 + detail % 32 if system + vendor * 32 <= system + _MAX_CPU_CLASS else None
