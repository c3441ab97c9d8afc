"""plan_class_spec.xml: plan classes described by an admin (sched/plan_class_spec.cpp)."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from boinc_server.plan_class import (
    CPU,
    HostUsage,
    Infeasible,
    has_acceleration,
    host_fpops,
    is_64bit,
    sequential,
    vbox_version,
)
from boinc_server.wire.reader import Reader, WireError, boolean, double, unescape

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.limits import Needs
    from boinc_server.rpc import Rpc
    from boinc_server.wire.request import Coproc, HostInfo

MEGA: Final = 1048576.0


class SpecError(ValueError):
    """plan_class_spec.xml cannot be used."""


@dataclass(slots=True)
class PlanClassSpec:
    """One ``<plan_class>``. Field names are the element names; versions are 10000 major + 100 minor + release."""

    name: str = ""
    min_core_client_version: int = 0
    max_core_client_version: int = 0
    gpu_type: str = ""
    cuda: bool = False
    cal: bool = False
    opencl: bool = False
    virtualbox: bool = False
    wsl: bool = False
    docker: bool = False
    min_boinc_wsl_distro_version: int = 0
    is64bit: bool = False
    cpu_feature: list[str] = field(default_factory=list)
    min_ncpus: float = 0
    max_threads: int = 1
    mem_usage_base_mb: float = 0
    mem_usage_per_cpu_mb: float = 0
    nthreads_cmdline: bool = False
    projected_flops_scale: float = 1
    os_regex: str = ""
    cpu_vendor_regex: str = ""
    cpu_model_regex: str = ""
    user_id: int = 0
    infeasible_random: float = 0
    min_os_version: float = 0
    max_os_version: float = 0
    min_android_version: int = 0
    max_android_version: int = 0
    min_libc_version: int = 0
    project_prefs_tag: str = ""
    project_prefs_regex: str = ""
    project_prefs_default_true: bool = False
    avg_ncpus: float = 0
    cpu_frac: float = 0.1
    min_gpu_ram_mb: float = 0
    gpu_ram_used_mb: float = 0
    gpu_peak_flops_scale: float = 1
    ngpus: float = 0
    min_gpu_peak_flops: float = 0
    max_gpu_peak_flops: float = 0
    min_driver_version: int = 0
    max_driver_version: int = 0
    gpu_utilization_tag: str = ""
    need_ati_libs: bool = False
    need_amd_libs: bool = False
    without_opencl: bool = False
    min_cal_target: int = 0
    max_cal_target: int = 0
    min_nvidia_compcap: int = 0
    max_nvidia_compcap: int = 0
    min_cuda_version: int = 0
    max_cuda_version: int = 0
    min_opencl_version: int = 0
    max_opencl_version: int = 0
    min_opencl_driver_revision: int = 0
    max_opencl_driver_revision: int = 0
    double_precision_fp: bool = False
    min_metal_support: int = 0
    gpu_type_regex: str = ""
    min_vbox_version: int = 0
    max_vbox_version: int = 0
    exclude_vbox_version: list[int] = field(default_factory=list)
    vm_accel_required: bool = False
    min_wu_id: int = 0
    max_wu_id: int = 0
    min_batch: int = 0
    max_batch: int = 0

    def check(self, rpc: Rpc, needs: Needs, wu: AnyRow | None) -> HostUsage:
        """What a job uses on this host. Raises Infeasible."""
        if self.infeasible_random and random.random() < self.infeasible_random:
            raise Infeasible
        _require(not self.user_id or rpc.user.id == self.user_id)
        if wu is not None:
            _within(wu.workunitid, self.min_wu_id, self.max_wu_id)
            _within(wu.batch, self.min_batch, self.max_batch)
        self._check_cpu(rpc, needs)
        self._check_os(rpc.request.host_info)
        if self.min_core_client_version and rpc.request.core_client_version < self.min_core_client_version:
            raise Infeasible("A newer BOINC may be required for some tasks.")
        _within(rpc.request.core_client_version, 0, self.max_core_client_version)
        can_use_multicore = True
        if self.virtualbox:
            can_use_multicore = self._check_virtualbox(rpc)
        if self.wsl:
            self._check_wsl(rpc)
        if self.docker:
            self._check_docker(rpc)
        self._check_project_prefs(rpc)
        coproc = self._coproc(rpc)
        if coproc is not None:
            return self._gpu_usage(rpc, coproc)
        _require(not self.opencl)
        return self._cpu_usage(rpc, needs, can_use_multicore)

    def _check_cpu(self, rpc: Rpc, needs: Needs) -> None:
        info = rpc.request.host_info
        # Old clients put the features behind the model, in square brackets.
        model_features = info.p_model.rpartition("[")[2].partition("]")[0] if "[" in info.p_model else ""
        features = f" {info.p_features} {model_features} ".lower()
        for wanted in self.cpu_feature:
            _require(f" {wanted} " in features)
        _require(not self.min_ncpus or needs.requests[CPU].processors >= self.min_ncpus)
        _require(not self.cpu_vendor_regex or re.search(self.cpu_vendor_regex, info.p_vendor) is not None)
        _require(not self.cpu_model_regex or re.search(self.cpu_model_regex, info.p_model) is not None)

    def _check_os(self, info: HostInfo) -> None:
        _require(not self.os_regex or re.search(self.os_regex, info.os_version) is not None)
        if self.min_os_version or self.max_os_version:
            version = os_version_num(info)
            _require(version > 0)
            _within(version, self.min_os_version, self.max_os_version)
        if self.min_android_version or self.max_android_version:
            _require(info.os_name.lower() == "android")
            android = android_version_num(info.os_version)
            _require(android > 0 or not self.min_android_version)
            _within(android, self.min_android_version, self.max_android_version)
        _require(not self.min_libc_version or libc_version(info.os_version) >= self.min_libc_version)

    def _check_virtualbox(self, rpc: Rpc) -> bool:
        """True when virtual machines can use several CPUs."""
        version = vbox_version(rpc)
        _within(version, self.min_vbox_version, self.max_vbox_version)
        _require(version not in self.exclude_vbox_version)
        accelerated = has_acceleration(rpc)
        _require(accelerated or not self.vm_accel_required)
        # A 32-bit wrapper would look in the wrong half of Windows' registry.
        _require(is_64bit(rpc.request.platform_name) == self.is64bit)
        return accelerated or self.max_threads <= 1

    def _check_wsl(self, rpc: Rpc) -> None:
        if not _distros(rpc):
            raise Infeasible("No WSL distros found")
        usable = [d for d in _distros(rpc) if "<disallowed" not in d]
        if self.min_libc_version:
            usable = [d for d in usable if _libc_of_distro(d) >= self.min_libc_version]
        if not usable:
            raise Infeasible("No usable WSL distros found")

    def _check_docker(self, rpc: Rpc) -> None:
        info = rpc.request.host_info
        if rpc.request.dont_use_docker:
            raise Infeasible("Client config does not allow using Docker")
        if "Windows" in info.os_name:
            usable = [d for d in _distros(rpc) if "<disallowed" not in d and "<docker_version>" in d]
            if not usable:
                raise Infeasible("No usable WSL distros found")
            return
        if not info.docker_version:
            raise Infeasible("Docker not present")
        if "Darwin" in info.os_name and rpc.request.core_client_version < 80206:
            raise Infeasible("Docker jobs need 8.2.6+ client")

    def _check_project_prefs(self, rpc: Rpc) -> None:
        if not (self.project_prefs_regex and self.project_prefs_tag):
            return
        value = _preference(rpc, self.project_prefs_tag)
        if value is None:
            _require(self.project_prefs_default_true)
        else:
            _require(re.search(self.project_prefs_regex, value) is not None)

    def _coproc(self, rpc: Rpc) -> Coproc | None:
        """The GPU that the class asks for, None for a class without. Raises Infeasible when there is none fit."""
        kinds = {"amd": "ATI", "ati": "ATI", "nvidia": "NVIDIA", "apple": "apple_gpu", "apple_gpu": "apple_gpu"}
        kind = "intel_gpu" if self.gpu_type.startswith("intel") else kinds.get(self.gpu_type, self.gpu_type)
        if not kind and not self.gpu_type_regex:
            return None
        for coproc in rpc.request.coprocs:
            matches = coproc.type == kind if kind else re.search(self.gpu_type_regex, coproc.type) is not None
            if matches and coproc.count:
                self._check_coproc(coproc)
                return coproc
        raise Infeasible

    def _check_coproc(self, coproc: Coproc) -> None:
        def number(key: str) -> float:
            try:
                return double(coproc.values.get(key, ""))
            except ValueError:
                return 0.0

        has_opencl = "opencl_device_version" in coproc.values or number("have_opencl") > 0
        ram = number("totalGlobalMem") or number("global_mem_size")
        driver = number("drvVersion") if coproc.type == "NVIDIA" else 0.0
        if coproc.type == "ATI":
            _require(not self.need_ati_libs or "atirt_detected" in coproc.values)
            _require(self.need_ati_libs or not self.need_amd_libs or "amdrt_detected" in coproc.values)
            _require(not self.without_opencl or not has_opencl)
            _within(number("target"), self.min_cal_target, self.max_cal_target)
            ram = number("global_mem_size") or number("localRAM") * MEGA
        elif coproc.type == "NVIDIA":
            _within(number("major") * 100 + number("minor"), self.min_nvidia_compcap, self.max_nvidia_compcap)
            if self.cuda:
                _within(number("cudaVersion"), self.min_cuda_version, self.max_cuda_version)
        elif coproc.type == "apple_gpu":
            _require(number("metal_support") >= self.min_metal_support)
        if self.opencl:
            _require(has_opencl)
            found = re.search(r"(\d+)\.(\d+)", coproc.values.get("opencl_device_version", ""))
            version = int(found.group(1)) * 100 + int(found.group(2)) if found else 0
            if version:
                _within(version, self.min_opencl_version, self.max_opencl_version)
            _require(not self.double_precision_fp or number("double_fp_config") > 0)
            ram = number("global_mem_size") or ram
        _require(not self.min_gpu_ram_mb or ram >= self.min_gpu_ram_mb * MEGA)
        if driver:
            _within(driver, self.min_driver_version, self.max_driver_version)
        _within(coproc.peak_flops, self.min_gpu_peak_flops, self.max_gpu_peak_flops if coproc.peak_flops else 0)

    def _gpu_usage(self, rpc: Rpc, coproc: Coproc) -> HostUsage:
        fpops = host_fpops(rpc)
        usage = sequential(rpc)
        utilization = 1.0
        if self.gpu_utilization_tag:
            try:
                utilization = double(_preference(rpc, self.gpu_utilization_tag) or "") or 1.0
            except ValueError:
                utilization = 1.0
        share = self.ngpus * utilization if self.ngpus > 0 else utilization
        usage.gpu_ram = (self.gpu_ram_used_mb or self.min_gpu_ram_mb) * MEGA
        usage.gpu_usage = share
        if coproc.peak_flops == 0:
            # Speed unknown: taken for a CPU application of that speed.
            usage.avg_ncpus = self.cpu_frac
        else:
            gpu_flops = self.gpu_peak_flops_scale * share * coproc.peak_flops
            # The fraction of the time in which the CPU works.
            busy = gpu_flops * self.cpu_frac / (gpu_flops * self.cpu_frac + fpops * (1 - self.cpu_frac))
            usage.projected_flops = (busy * fpops + (1 - busy) * gpu_flops) * self.projected_flops_scale
            usage.avg_ncpus = self.avg_ncpus or busy
            usage.peak_flops = gpu_flops + usage.avg_ncpus * fpops
        usage.proc_type = coproc.type
        return usage

    def _cpu_usage(self, rpc: Rpc, needs: Needs, can_use_multicore: bool) -> HostUsage:
        usage = sequential(rpc)
        if self.avg_ncpus:
            usage.avg_ncpus = self.avg_ncpus
        elif can_use_multicore:
            usage.avg_ncpus = min(self.max_threads, needs.requests[CPU].processors)
            if self.mem_usage_per_cpu_mb:
                base, each = self.mem_usage_base_mb * MEGA, self.mem_usage_per_cpu_mb * MEGA
                _require(base + (self.min_ncpus or 1) * each <= needs.usable_ram)
                usage.avg_ncpus = min(usage.avg_ncpus, int((needs.usable_ram - base) / each))
                usage.mem_usage = base + usage.avg_ncpus * each
                usage.cmdline += f" --memory_size_mb {usage.mem_usage / MEGA:.0f}"
        if self.nthreads_cmdline:
            usage.cmdline += f" --nthreads {int(usage.avg_ncpus)}"
        usage.peak_flops = host_fpops(rpc) * usage.avg_ncpus
        usage.projected_flops = usage.peak_flops * self.projected_flops_scale
        return usage

    @property
    def depends_on_workunit(self) -> bool:
        return bool(self.min_wu_id or self.max_wu_id or self.min_batch or self.max_batch)


class PlanClassSpecs:
    """A whole plan_class_spec.xml."""

    def __init__(self, classes: list[PlanClassSpec]) -> None:
        self.classes = classes
        self.depends_on_workunit = any(spec.depends_on_workunit for spec in classes)

    def check(self, rpc: Rpc, needs: Needs, name: str, wu: AnyRow | None) -> HostUsage:
        """Raises Infeasible; an unknown class is infeasible and logged."""
        for spec in self.classes:
            if spec.name == name:
                return spec.check(rpc, needs, wu)
        rpc.project.log.error("Unknown plan class: %s", name)
        raise Infeasible


def parse(text: str) -> PlanClassSpecs:
    """Read plan_class_spec.xml; unknown elements are ignored, as upstream. Raises SpecError."""
    reader = Reader(text)
    classes: list[PlanClassSpec] = []
    try:
        start = reader.next()
        while start is not None and start.name.startswith("?"):
            start = reader.next()
        if start is None or start.name != "plan_classes":
            raise SpecError("plan_class_spec.xml does not start with <plan_classes>")
        while (token := reader.next()) is not None:
            if token.is_end and token.name == "plan_classes":
                return PlanClassSpecs(classes)
            if token.name == "plan_class" and not token.is_end:
                classes.append(_parse_class(reader))
    except WireError as error:
        raise SpecError(f"plan_class_spec.xml: {error.what}") from error
    raise SpecError("plan_class_spec.xml: no </plan_classes>")


def _parse_class(reader: Reader) -> PlanClassSpec:
    spec = PlanClassSpec()
    kinds = {f.name: str(f.type) for f in fields(PlanClassSpec)}
    while (token := reader.next()) is not None:
        if token.is_end:
            if token.name == "plan_class":
                return spec
            continue
        kind = kinds.get(token.name)
        if kind is None or token.text is None:
            continue
        value = _convert(token.name, kind, unescape(token.text.strip()))
        if kind.startswith("list"):
            getattr(spec, token.name).append(value)
        else:
            setattr(spec, token.name, value)
    raise SpecError("plan_class_spec.xml: no </plan_class>")


def _convert(name: str, kind: str, text: str) -> Any:
    try:
        if name.endswith("_regex"):
            re.compile(text)
        if kind == "bool":
            return boolean(text)
        if kind in ("int", "list[int]"):
            return int(double(text))
        return double(text) if kind == "float" else text
    except (ValueError, re.error) as error:
        raise SpecError(f"plan_class_spec.xml: <{name}>: {text!r}: {error}") from error


def _require(condition: bool) -> None:
    if not condition:
        raise Infeasible


def _within(value: float, minimum: float, maximum: float) -> None:
    """Raises Infeasible when below the minimum or above the maximum; 0 is no limit."""
    _require((not minimum or value >= minimum) and (not maximum or value <= maximum))


def _preference(rpc: Rpc, tag: str) -> str | None:
    """The value of an element of the user's project preferences, of the host's venue if it has one."""
    text = rpc.user.project_prefs
    if rpc.host.venue:
        found = re.search(rf'<venue name="{re.escape(rpc.host.venue)}">(.*?)</venue>', text, re.DOTALL)
        text = found.group(1) if found else text
    match = re.search(rf"<{re.escape(tag)}>([^<]*)</{re.escape(tag)}>", re.sub(r"<venue .*?</venue>", "", text, flags=re.DOTALL))
    return match.group(1).strip() if match else None


def _distros(rpc: Rpc) -> list[str]:
    return re.findall(r"<distro>(.*?)</distro>", rpc.request.host_info.wsl, re.DOTALL)


def _libc_of_distro(distro: str) -> int:
    found = re.search(r"<libc_version>\s*(\d+)\.(\d+)", distro)
    return int(found.group(1)) * 100 + int(found.group(2)) if found else 0


def libc_version(os_version: str) -> int:
    """227 for ``...|libc 2.27 ...]``, 0 if there is none."""
    found = re.search(r"\|libc (\d+)\.(\d+)", os_version)
    return int(found.group(1)) * 100 + int(found.group(2)) if found else 0


def android_version_num(os_version: str) -> int:
    """40301 for ``(Android 4.3.1)``; missing parts are 0."""
    found = re.search(r"\(Android (\d+)(?:\.(\d+))?(?:\.(\d+))?", os_version)
    return sum(int(part or 0) * scale for part, scale in zip(found.groups(), (10000, 100, 1), strict=True)) if found else 0


def os_version_num(info: HostInfo) -> float:
    """A number for the version of an operating system, growing with it; 0 when it cannot be told."""
    if "Windows" in info.os_name:
        found = re.match(r"(\d+)\.(\d+)\.(\d+)\.(\d+)\)", info.os_version.rpartition("(")[2])
        scales: tuple[float, ...] = (1e8, 1e6, 1e2, 1)
    else:
        text = info.os_version
        if "Linux" in info.os_name and "[" in text:
            text = text.partition("[")[2]
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
        scales = (1e4, 1e2, 1)
    if found is None:
        return 0.0
    return sum(int(part) * scale for part, scale in zip(found.groups(), scales, strict=True))
