"""Homogeneous redundancy: classes of hosts whose results are bit for bit the same (sched/hr.cpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boinc_server.states import HomogeneousRedundancy

if TYPE_CHECKING:
    from boinc_server.wire.request import HostInfo

_NO_OS: Final = 128
_OS: Final = {"linux": 256, "windows": 384, "darwin": 512, "freebsd": 640, "android": 768}
_NO_CPU: Final = 1
_INTEL: Final = 2
_AMD: Final = 3
_MACINTOSH: Final = 4
_ARM: Final = 22
_AMD_MODELS: Final = (("duron", 6), ("opteron", 8), ("sempron", 7), ("turion", 20))
_ATHLON_MODELS: Final = (("xp", 10), ("mp", 19), ("64", 9), ("", 5))
_CELERON_MODELS: Final = ((" m ", 18), (" d ", 17), ("iii", 15), ("", 12))
_PENTIUM_MODELS: Final = (("iii", 15), ("ii", 14), (" 4 ", 16), (" d ", 17), (" m ", 18), ("", 13))
_INTEL_FAMILIES: Final = (
    ("family 6 model 6", 12),
    ("family 6 model 9", 18),
    ("family 6 model 10", 11),
    ("family 5 model 1", 13),
    ("family 5 model 2", 13),
    ("family 6 model 1", 13),
    ("family 15 model 1", 16),
    ("family 15 model 2", 16),
    ("family 6 model 7", 15),
    ("family 6 model 8", 15),
    ("family 6 model 3", 14),
    ("family 6 model 5", 14),
)
"""In upstream's order, in which model 10 and 11 are also found by the shorter "model 1" above it."""


def _first(text: str, table: tuple[tuple[str, int], ...], otherwise: int = 0) -> int:
    return next((number for part, number in table if part in text), otherwise)


def _os_class(info: HostInfo) -> int:
    name = info.os_name.lower()
    return next((number for part, number in _OS.items() if part in name), _NO_OS)


def _cpu_coarse(info: HostInfo) -> int:
    vendor = info.p_vendor.lower()
    if "intel" in vendor or "amd" in vendor:
        return _INTEL
    if "macintosh" in vendor:
        return _MACINTOSH
    return _ARM if "arm" in vendor or "ARM" in info.p_model else _NO_CPU


def _cpu_fine(info: HostInfo) -> int:
    vendor, model = info.p_vendor.lower(), info.p_model.lower()
    if "intel" in vendor:
        if "xeon" in model:
            return 11
        if "celeron" in model:
            return _first(model, _CELERON_MODELS)
        if "core" in model:
            return 21
        if "pentium" in model:
            return _first(model, _PENTIUM_MODELS)
        return _first(model, _INTEL_FAMILIES, _INTEL) if "x86" in model else _INTEL
    if "amd" in vendor:
        if "athlon" in model:
            return _first(model, _ATHLON_MODELS)
        return _first(model, _AMD_MODELS, _AMD)
    if "macintosh" in vendor:
        return _MACINTOSH
    return _ARM if "arm" in vendor else _NO_CPU


def hr_class(info: HostInfo, kind: int) -> int | None:
    """The class of a host, OS part plus CPU part; None when it cannot be told well enough.

    Fine: OS, vendor and model. Coarse: OS, and Intel and AMD as one; only Windows, Linux and Darwin are known.
    """
    system = _os_class(info)
    if kind == HomogeneousRedundancy.FINE:
        cpu = _cpu_fine(info)
        return None if system == _NO_OS or cpu == _NO_CPU else system + cpu
    cpu = _cpu_coarse(info)
    if system in (_OS["windows"], _OS["linux"]) or (system == _OS["darwin"] and cpu in (_INTEL, _MACINTOSH)):
        return system + cpu
    return None
