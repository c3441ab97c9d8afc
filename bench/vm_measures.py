"""Measures of VM jobs: how long they take, what a running VM and its image cost."""

from __future__ import annotations

import io
import random
import tarfile
import time
from collections.abc import Callable

from bench.model import Measure
from bench.world import World, resident_megabytes
from harness import engine, images
from harness.clock import FAST_RATE
from harness.jobs import JobState
from harness.vbox_app import VmApp

#: seconds for a VM job on a slow machine
WITHIN = 300.0
WARM = {"wanted_file": "warm.wanted", "ready_file": "warm.ready", "go_file": "warm.go"}
#: of the layer that a container's image has in `disk_ratio`
LAYER_MEGABYTES = 200
UNPACK = "cd /persistent; [ -e unpacked ] || { tar -xf $SHARED/image.tar && sync && touch unpacked; }; ls layer | grep -c . > $SHARED/out"


def vm_job(world: World, rate: float, app: VmApp, command: str) -> float:
    """Seconds from the submission of a job to its validation, on a host that is attached and idle."""
    _, project, client = world.vm_host(rate)
    start = time.monotonic()
    job = app.submit(command)
    client.update(project)
    job.wait_for(JobState.VALIDATED, within=WITHIN)
    return time.monotonic() - start


def job_seconds(rate: float, *, warm: bool) -> Callable[[World], float]:
    """What a VM job takes on a host that has the application, and with `warm` the state of a booted guest."""
    name = "warm" if warm else "cold"

    def sample(world: World) -> float:
        app = world.vm_apps.get((rate, name))
        if app is None:
            app = VmApp.install(world.vm_host(rate)[1], name=name, warm_start=WARM if warm else None)
            world.vm_apps[rate, name] = app
            vm_job(world, rate, app, "true")
        return vm_job(world, rate, app, "true")

    return sample


def layer(megabytes: int, files: int = 400) -> bytes:
    """A container image's layer, as a tar of files of one size; their bytes compress badly."""
    noise = random.Random(1).randbytes(1 << 20)
    size = megabytes * 1_000_000 // files
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(files):
            entry = tarfile.TarInfo(f"layer/{number % 20}/file{number}")
            entry.size = size
            archive.addfile(entry, io.BytesIO((noise * (size // len(noise) + 1))[number : number + size]))
    return stream.getvalue()


def disk_ratio(world: World) -> float:
    """The time of a job that finds its image unpacked on the persistent disk, as a share of that of the job that had to unpack it."""
    _, project, _ = world.vm_host(FAST_RATE)
    name = f"disk{len(world.vm_apps)}"
    app = VmApp.install(
        project, name=name, files={"shared/image.tar": layer(LAYER_MEGABYTES)}, persistent_disk={"name": name, "size_mb": 1024}
    )
    world.vm_apps[FAST_RATE, name] = app
    first, second = (vm_job(world, FAST_RATE, app, UNPACK) for _ in range(2))
    return second / first


def _memory(world: World) -> float:
    _, project, client = world.vm_host(FAST_RATE)
    app = VmApp.install(project, name=f"memory{len(world.vm_apps)}")
    world.vm_apps[FAST_RATE, app.name] = app
    job = app.submit("echo up; sleep 600")
    client.update(project)
    client.vm(job, within=WITHIN).wait_guest_log("^up$", within=WITHIN)
    found = resident_megabytes(client.container)
    client.abort(project, job.result.name)
    job.wait_for(JobState.ERROR, within=WITHIN)
    return found


def _image_megabytes(_world: World) -> float:
    tag = images.ensure("client-vbox")
    with engine.guard(f"asking for the size of {tag}"):
        return float(engine.connect().images.get(tag).attrs["Size"]) / 1e6


def vm_measures() -> list[Measure]:
    """All of them are left out unless named: --only 'vm-*'."""

    def measure(name: str, what: str, unit: str, target: float, sample: Callable[[World], float], at_most: int | None = None) -> Measure:
        return Measure(f"vm-{name}", what, unit, target, sample, at_most=at_most, default=False)

    fast = f"x{FAST_RATE:g}"
    return [
        measure("cold-fast", f"VM job that boots, submit to validated, {fast}", "s", 11.0, job_seconds(FAST_RATE, warm=False)),
        measure("cold-real", "VM job that boots, submit to validated, real time", "s", 24.0, job_seconds(1.0, warm=False)),
        measure("warm-fast", f"VM job with a booted guest's state, {fast}", "s", 4.0, job_seconds(FAST_RATE, warm=True)),
        measure("warm-real", "VM job with a booted guest's state, real time", "s", 14.0, job_seconds(1.0, warm=True)),
        measure("disk", f"second job with {LAYER_MEGABYTES} MB on the persistent disk, of the first", "x", 0.33, disk_ratio, at_most=3),
        measure("memory", "resident memory of a host with a running VM of 128 MB", "MB", 250.0, _memory, at_most=3),
        measure("image", "size of the image client-vbox", "MB", 450.0, _image_megabytes, at_most=1),
    ]
