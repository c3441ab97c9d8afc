"""A container job in a virtual machine: what the guest runs it from, and the application that does.

The guest (images/guest/container) mounts the image's layers from the machine's persistent disk and starts crun, with
the runtime configuration made here (OCI runtime specification, config.md), in which lines that hold an @WORD@ alone are the guest's
to fill in: the image's own files know its users.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.oci.image import Image

if TYPE_CHECKING:
    from harness.oci.work import ContainerJob

#: files of the slot that only the guest reads
CONFIG, CONF = "container_vm.json", "container_vm.conf"
#: what the guest's kernel and init need besides the job's own, and what a job gets that names no number
GUEST_MB, DEFAULT_MB = 64, 256
#: machines of a few sizes only: a kept state of a booted guest serves those of its own size
STEP_MB = 64
#: the disk that keeps layers, as the guest sees it
DISK_MB = 8192
#: job.conf of the guest (images/guest/README.md)
GUEST_CONF = b"container=yes\nnetwork=no\nresults=no\nheartbeat_seconds=0\n"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE"),
    *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"),
)
_MOUNTS = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "ro")),
    ("/etc/hosts", "bind", "/run/container/hosts", ("bind", "ro")),
    ("/etc/hostname", "bind", "/run/container/hostname", ("bind", "ro")),
    ("/root/shared", "bind", "/run/container/slot/shared", ("bind", "nosuid", "nodev")),
    ("/shared", "bind", "/run/container/slot/shared", ("bind", "nosuid", "nodev")),
)
_MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def words(image: Image, job: ContainerJob) -> list[str]:
    """The words that the container runs, as engines put them together. Raises `UsageError` where there are none."""
    settings = _settings(image)
    if job.entrypoint is not None:
        found = [*job.entrypoint, *job.command]
    else:
        found = [*(settings.get("Entrypoint") or ()), *(job.command or settings.get("Cmd") or ())]
    if not found:
        raise UsageError("nothing to run", thing=image.name, expected="a command: the image has none of its own")
    return [str(word) for word in found]


def _settings(image: Image) -> Mapping[str, list[str] | str | None]:
    found = image.settings.get("config")
    return found if isinstance(found, dict) else {}


def user(image: Image, job: ContainerJob) -> str:
    """Whom the container runs as: NAME or number, perhaps with :GROUP. Raises `UsageError`."""
    name = job.user or str(_settings(image).get("User") or "")
    if any(not (letter.isalnum() or letter in "_.-:$") for letter in name) or not name.isascii() or len(name) > 200:
        raise UsageError("no usable name of a user", thing=repr(name[:100]), expected="letters, digits and _.-, perhaps :GROUP")
    return name


def environment(image: Image, job: ContainerJob) -> dict[str, str]:
    """Variables of the image, then those of the job."""
    pairs = [str(pair).partition("=") for pair in _settings(image).get("Env") or ()]
    found = dict([_PATH.split("=", 1)]) | {"HOSTNAME": "container"} | {name: value for name, _, value in pairs}
    return found | {"SHARED": "/shared"} | dict(job.environment)


def config(image: Image, job: ContainerJob) -> bytes:
    """crun's configuration, but for the lines that the guest fills in."""
    variables = environment(image, job)
    resources: dict[str, object] = {"devices": [{"allow": False, "access": "rwm"}]}
    if job.memory_bytes:
        resources["memory"] = {"limit": round(job.memory_bytes)}
    if job.cpus:
        resources["cpu"] = {"period": 100_000, "quota": max(1000, round(job.cpus * 100_000))}
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    process = {
        "args": words(image, job),
        "cwd": job.workdir or str(_settings(image).get("WorkingDir") or "") or "/",
        "noNewPrivileges": True,
        "terminal": False,
    }
    rest = {
        "ociVersion": "1.0.2",
        "hostname": "container",
        "root": {"path": "/run/container/rootfs"},
        "mounts": [
            {"destination": place, "type": kind, "source": source, "options": list(options)} for place, kind, source, options in _MOUNTS
        ],
        "linux": {
            "cgroupsPath": "/boinc/job",
            "namespaces": [{"type": kind} for kind in kinds],
            "resources": resources,
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }
    lines = [
        '{"process":{',
        "@USER@",
        '"capabilities":{',
        "@CAPS@",
        f'"bounding":{json.dumps(_CAPABILITIES)}}},',
        '"env":[',
        *([] if "HOME" in variables else ["@HOME@"]),
        json.dumps([f"{name}={value}" for name, value in variables.items()])[1:] + ",",
        json.dumps(process)[1:] + ",",
        json.dumps(rest)[1:],
    ]
    return "\n".join(lines).encode() + b"\n"


def conf(image: Image, job: ContainerJob) -> bytes:
    """What the guest's container-job reads: the layers from the lowest on, the user, the outputs, the limit of memory."""
    lines = [f"layer {layer.digest.replace(':', '-')}" for layer in image.layers]
    name = user(image, job)
    lines += [f"user {name}"] if name else []
    lines += [f"output {name}" for name in job.outputs]
    lines += [f"memory {round(job.memory_bytes)}"] if job.memory_bytes else []
    return "\n".join(lines).encode() + b"\n"


def memory_mb(job: ContainerJob) -> int:
    """Of the machine."""
    wanted = job.memory_bytes / 2**20 if job.memory_bytes else DEFAULT_MB
    return STEP_MB * math.ceil((wanted + GUEST_MB) / STEP_MB)


def vbox_job(disk_mb: int = DISK_MB) -> dict[str, object]:
    """Options of vbox_job.xml. The machine's size is in each job's command line."""
    return {
        "os_name": "Linux26_64",
        "boot_iso": True,
        "enable_isocontextualization": True,
        "share_slot_dir": True,
        "completion_trigger_file": "completion_trigger_file",
        "fraction_done_filename": "shared/fraction_done",
        "persistent_disk": {"name": "containers", "size_mb": disk_mb},
        "warm_start": {"wanted_file": "warm.wanted", "ready_file": "warm.ready", "go_file": "warm.go"},
        "image_layers": {"folder": "image", "wanted_file": "layers.wanted", "ready_file": "layers.ready", "target": "layers"},
        "pack_results": "shared/results",
    }


__all__ = ["conf", "config", "memory_mb", "vbox_job", "words"]
