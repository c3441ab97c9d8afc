"""What this host can do, and why not: `harness doctor`.

    checks = run_checks()      # data: reports and scenarios' skip reasons read it too
    render(checks)             # for a person

A check never raises; one that cannot find something out says so in its detail. Nothing is installed or started here.
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import apt, bases, engine, images, settings
from harness.errors import EngineUnavailable, HarnessError

State = Literal["ok", "limited", "missing"]

_GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One finding.

    state        ok: as it should be; limited: the harness works around it; missing: something does not work here
    required     nothing works without it
    consequence  what is different because of a state that is not ok
    remedy       what a person can do about it
    """

    name: str
    state: State
    detail: str
    consequence: str = ""
    remedy: str = ""
    required: bool = False


@dataclass(frozen=True)
class VirtualBoxMode:
    """How virtual machines run here: "hardware" (VT-x or AMD-V through /dev/vboxdrv) or "driverless" (interpreted, no privileges)."""

    mode: Literal["hardware", "driverless"]
    why: str


def run_checks() -> list[Check]:
    """All checks, in the order in which a person would want to know."""
    found: list[Check] = [_python()]
    found += _engine_checks()
    for check in (_bases, _cpu, _virtualbox, _kvm, _memory, _files, _netem, _proxy):
        found.append(check())
    return found


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} ({sys.executable})", required=True)


# --- the engine -------------------------------------------------------------------------------------------------------------------


def _engine_checks() -> list[Check]:
    try:
        found = engine.capabilities()
    except EngineUnavailable as error:
        return [
            Check(
                "container engine",
                "missing",
                f"{error.what}: {error.thing} {error.details}",
                "nothing runs",
                error.remedy.partition("; `harness doctor`")[0],
                required=True,
            )
        ]
    except HarnessError as error:
        return [Check("container engine", "missing", error.what, "nothing runs", error.remedy, required=True)]
    checks = [_engine_version(found), _buildx(found), _compose(found), _addresses(found), _cgroup(found), _registry()]
    return [*checks, _engine_disk(), _virtual_time()]


def _engine_version(found: engine.Capabilities) -> Check:
    detail = (
        f"Docker {found.version} at {found.host} ({found.operating_system}, {found.storage_driver}{', rootless' if found.rootless else ''})"
    )
    if found.version_tuple >= engine.OLDEST_ENGINE:
        return Check("container engine", "ok", detail, required=True)
    oldest = ".".join(map(str, engine.OLDEST_ENGINE))
    return Check("container engine", "missing", detail, "images cannot be built", f"install Docker {oldest} or later", required=True)


def _buildx(found: engine.Capabilities) -> Check:
    if found.buildx:
        return Check("docker buildx", "ok", found.buildx, required=True)
    remedy = "install it (Debian: apt install docker-cli docker-buildx; elsewhere: docker-buildx-plugin)"
    return Check("docker buildx", "missing", "the docker command has no such plugin", "images cannot be built", remedy, required=True)


def _compose(found: engine.Capabilities) -> Check:
    if found.compose:
        return Check("docker compose", "ok", found.compose)
    remedy = "install it (Debian: apt install docker-compose; elsewhere: docker-compose-plugin)"
    return Check("docker compose", "limited", "the docker command has no such plugin", "compose.test.yml cannot be used", remedy)


def _addresses(found: engine.Capabilities) -> Check:
    if found.local:
        return Check("addresses", "ok", "containers are reached by their own addresses")
    return Check(
        "addresses",
        "limited",
        "the engine's networks are not this host's: containers are reached through published ports",
        "volunteers are not cut off from the internet",
        "run the tests on the engine's own host",
    )


def _cgroup(found: engine.Capabilities) -> Check:
    version = found.cgroup_version or "unknown"
    if version == "2":
        return Check("cgroup", "ok", "version 2")
    consequence = "container engines inside client containers need cgroups disabled; limits on memory and processes still work"
    return Check("cgroup", "limited", f"version {version}", consequence, "boot with systemd.unified_cgroup_hierarchy=1")


def _registry() -> Check:
    name = "debian:trixie-slim"
    if bases.registry_answers(name):
        return Check("image registry", "ok", f"it knows {name}")
    consequence = "base images are bootstrapped from Debian packages; the published BOINC server images cannot be used"
    return Check("image registry", "limited", f"none answers for {name}", consequence, "give the engine access to a registry")


def _engine_disk() -> Check:
    try:
        with engine.guard("asking for the engine's folder"):
            root = Path(engine.connect().info().get("DockerRootDir") or "/var/lib/docker")
        free = shutil.disk_usage(root).free
    except (HarnessError, OSError) as error:
        return Check("disk", "limited", f"cannot be looked at from here ({error.__class__.__name__})", "a full disk shows only in a build")
    detail = f"{free / _GIB:.1f} GiB free in {root}"
    if free >= 8 * _GIB:
        return Check("disk", "ok", detail)
    state: State = "limited" if free >= 3 * _GIB else "missing"
    return Check("disk", state, detail, "building all images takes about 6 GiB", "free some: docker system df, docker builder prune")


def _virtual_time() -> Check:
    """Whether a client's clock can be moved here, tried in the client image if it is there."""
    name = "virtual time"
    try:
        tag = images.tag("client", images.SPECS["client"].suites[-1])
        if tag not in images.present():
            return Check(name, "limited", "not tried: the client image is not built yet", "", "./run setup")
        script = 'date +%F; LD_PRELOAD=/usr/local/lib/libfaketime.so FAKETIME="+400d" date +%F'
        with engine.guard("trying libfaketime"):
            raw = engine.connect().containers.run(tag, ["-c", script], entrypoint="sh", remove=True, network_mode="none")
    except HarnessError as error:
        return Check(name, "missing", error.what, "every wait takes real time", "use --real-time")
    if len(set(raw.split())) == 2:
        return Check(name, "ok", "a client's clock can run fast and jump (libfaketime)")
    return Check(name, "missing", "libfaketime has no effect here", "deadlines and backoffs take real time", "use --real-time")


# --- the host ---------------------------------------------------------------------------------------------------------------------


def _bases() -> Check:
    name = "Debian packages"
    if apt.for_suite("trixie") is None:
        return Check(name, "limited", "apt's settings here name no Debian mirror", "base images have to come from a registry")
    if os.getuid() != 0:
        return Check(name, "limited", "a mirror is known, but bootstrapping needs root", "base images have to come from a registry")
    tool = shutil.which("mmdebstrap") or "mmdebstrap, which ./run installs"
    return Check(name, "ok", f"base images can be bootstrapped ({tool})")


def cpu_flags() -> frozenset[str]:
    """vmx, svm and hypervisor, as far as the CPU shows them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(match[1].split()) & {"vmx", "svm", "hypervisor"} if match else frozenset()


def _cpu() -> Check:
    flags = cpu_flags()
    shown = f"{os.cpu_count()} CPUs, {platform.machine()}, " + (", ".join(sorted(flags)) or "no virtualization flags")
    if flags & {"vmx", "svm"}:
        return Check("CPU", "ok", shown)
    where = (
        "this is a virtual machine without nested virtualization" if "hypervisor" in flags else "switched off in the firmware, or not there"
    )
    return Check(
        "CPU", "limited", f"{shown}: {where}", "virtual machines are interpreted: correct, but slow", "turn on VT-x or AMD-V (nested)"
    )


def vboxdrv_version() -> str:
    """The version of the VirtualBox driver that the host's kernel has loaded, or ""."""
    try:
        return Path("/sys/module/vboxdrv/version").read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        return ""


def plain_version(text: str) -> str:
    """ "7.2.22" of what VBoxManage ("7.2.22_Debianr170000") and the driver ("7.2.22_Debian r170000 (0x0038...)") print."""
    match = re.match(r"\d+\.\d+\.\d+", text.strip())
    return match[0] if match else ""


def virtualbox_mode(image_version: str = "", *, device: Path = Path("/dev/vboxdrv"), driver: str | None = None) -> VirtualBoxMode:
    """Which of VirtualBox's modes client containers use here, and why.

    The hardware mode needs the host's driver to be of the very version of the image's VirtualBox (`image_version`, as
    VBoxManage prints it; "" if not known: then the driver's mere presence does not suffice).
    """
    version = plain_version(vboxdrv_version() if driver is None else driver)
    if not device.exists():
        return VirtualBoxMode("driverless", f"there is no {device}: VirtualBox's driver is not loaded on this host")
    if not cpu_flags() & {"vmx", "svm"}:
        return VirtualBoxMode("driverless", f"{device} is there, but the CPU shows neither vmx nor svm")
    wanted = plain_version(image_version)
    if not wanted or version != wanted:
        return VirtualBoxMode(
            "driverless", f"the host's driver is {version or 'of unknown version'}, the image's VirtualBox {wanted or 'unknown'}"
        )
    return VirtualBoxMode("hardware", f"{device} is there, of the image's version {version}")


def _image_virtualbox() -> str:
    """The version of the VirtualBox in the client-vbox image, "" if it is not built."""
    try:
        tag = images.tag("client-vbox")
        if tag not in images.present():
            return ""
        with engine.guard("asking VirtualBox for its version"):
            raw = engine.connect().containers.run(tag, ["--version"], entrypoint="VBoxManage", remove=True, network_mode="none")
    except HarnessError:
        return ""
    lines = raw.decode(errors="replace").split()
    return lines[-1] if lines else ""


def _virtualbox() -> Check:
    found = virtualbox_mode(_image_virtualbox() if Path("/dev/vboxdrv").exists() else "")
    if found.mode == "hardware":
        return Check("VirtualBox", "ok", f"hardware mode: {found.why}")
    consequence = "virtual machines run in VirtualBox's own interpreter: the same jobs, some 8 million instructions a second, no privileges"
    remedy = "on a machine with VT-x or AMD-V: load vboxdrv of the client image's VirtualBox version"
    return Check("VirtualBox", "limited", f"driverless mode: {found.why}", consequence, remedy)


def _kvm() -> Check:
    device = Path("/dev/kvm")
    if device.exists() and cpu_flags() & {"vmx", "svm"}:
        return Check("KVM", "ok", "/dev/kvm is there (not used by VirtualBox jobs)")
    detail = "/dev/kvm is there, but the CPU shows neither vmx nor svm" if device.exists() else "there is no /dev/kvm"
    return Check("KVM", "limited", detail, "none: no scenario needs it")


def _memory() -> Check:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        available = int(re.findall(r"^MemAvailable:\s+(\d+)", text, re.MULTILINE)[0]) * 1024
    except (OSError, IndexError):
        return Check("memory", "limited", "cannot be looked at", "")
    detail = f"{available / _GIB:.1f} GiB available"
    if available >= 2 * _GIB:
        return Check("memory", "ok", detail)
    return Check(
        "memory", "limited", detail, "run one worker at a time, and no virtual machines", "a stack takes about 0.5 GiB, a VM 0.2 GiB"
    )


def _files() -> Check:
    """The limit of open files: some machines withhold the right to raise it, and an engine asked to raise it starts nothing."""
    import resource  # noqa: PLC0415  (not on Windows, where this module still imports)

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if hard == resource.RLIM_INFINITY or hard >= 4096:
        return Check("open files", "ok", f"at most {shown}")
    return Check("open files", "limited", f"at most {shown}", "many clients at once may fail", "raise it: ulimit -Hn")


def _netem() -> Check:
    name = "netem"
    if _kernel_has("NET_SCH_NETEM"):
        return Check(name, "ok", "the kernel can delay, lose and reorder packets")
    consequence = "network faults use rate limits, refused and dropped connections, and disconnection instead of delay and loss"
    return Check(name, "limited", f"not in this kernel ({platform.release()})", consequence, "load the module sch_netem")


def _kernel_has(option: str) -> bool:
    """Whether the running kernel was built with an option, built in or as a module that is installed."""
    release = platform.release()
    modules = Path("/lib/modules", release)
    for path, opener in ((Path("/proc/config.gz"), gzip.open), (Path(f"/boot/config-{release}"), open)):
        try:
            with opener(path, "rt", encoding="utf-8") as file:
                match = re.search(rf"^CONFIG_{option}=([ym])$", file.read(), re.MULTILINE)
        except OSError:
            continue
        return match is not None and (match[1] == "y" or modules.is_dir())
    return False


def _proxy() -> Check:
    found = settings.proxies()
    if not found:
        return Check("proxy", "ok", "none in the environment or in apt's settings")
    shown = ", ".join(f"{name}={hide_password(value)}" for name, value in sorted(found.items()) if name.islower())
    return Check("proxy", "ok", f"{shown}: builds use it, containers of a run do not")


def hide_password(url: str) -> str:
    """A proxy's URL as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)


def render(checks: Iterable[Check]) -> None:
    """Print checks as a table, and below it what to do about those that are not ok."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    checks = list(checks)
    signs = {"ok": "[green]ok[/green]", "limited": "[yellow]limited[/yellow]", "missing": "[red]missing[/red]"}
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        lines = [_plain(check.detail)]
        if check.state != "ok":
            lines += [f"[dim]so:[/dim]    {_plain(check.consequence)}"] if check.consequence else []
            lines += [f"[dim]to do:[/dim] {_plain(check.remedy)}"] if check.remedy else []
        table.add_row(check.name, signs[check.state], "\n".join(lines))
    console.print(table)
    console.print(summary(checks))


def summary(checks: Sequence[Check]) -> str:
    """One sentence: whether the harness works here."""
    broken = [check.name for check in checks if check.state == "missing" and check.required]
    if broken:
        return f"\nThe harness does not work here yet: {', '.join(broken)}."
    limited = sum(check.state != "ok" for check in checks)
    return "\nThe harness works here" + (f", with {limited} limit{'s' if limited != 1 else ''} as above." if limited else ".")


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
