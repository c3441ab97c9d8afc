"""The measures of container jobs."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.model import Measure
from bench.world import World
from harness.clock import Clock
from harness.history import WaitFailed
from harness.jobs import Job, JobState
from harness.oci import Image, Store, load, squash
from harness.oci.image import CONFIG_TYPE, MANIFEST_TYPE, digest_of
from harness.oci.samples import sample
from harness.oci.versions import Where
from harness.oci.work import ContainerWork
from harness.stack import Stack
from harness.versions import NEWEST
from harness.waiting import Deadline, WaitTimeout

#: seconds for one job in an interpreted virtual machine, cold
VM_WITHIN = 300.0
LAYER = 100_000_000
#: seconds for a hundred jobs under faults
FAULTS_WITHIN = 900.0


class Host:
    """A project with container jobs, and a volunteer who has done one on the image."""

    def __init__(self, world: World, where: Where) -> None:
        self.stack: Stack = world.keep(world.stack(Clock.real() if where == "vm" else Clock.fast(), NEWEST))
        self.image = load(sample("base"), Store.default())
        self.work = ContainerWork.install(self.stack.server.control, self.stack.project.name, where, disk_mb=256)
        self.client = self.stack.client(vbox=where == "vm", podman=where == "native", attach=True)
        self.run()

    def run(self) -> float:
        """Seconds from submission to validation."""
        start = time.monotonic()
        made = self.work.submit(self.image, ["echo", f"{start}"])
        self.client.update(self.stack.project)
        job = Job(self.stack.project, *made.workunits[0], self.work.app)
        job.wait_for(JobState.VALIDATED, within=VM_WITHIN)
        return time.monotonic() - start

    def image_bytes(self) -> int:
        """Bytes of image files that the volunteer has downloaded so far."""
        sizes = {f"oci_{layer.digest.replace(':', '_')}": layer.size for layer in self.image.layers}
        done = [str(event.get("name")) for event in self.stack.history.find("download.done")]
        return sum(sizes.get(name, 0) for name in done)


def _hosts() -> Callable[[World, Where], Host]:
    made: dict[tuple[int, Where], Host] = {}

    def host(world: World, where: Where) -> Host:
        key = (id(world), where)
        if key not in made:
            made[key] = Host(world, where)
        return made[key]

    return host


def large_image(folder: Path, store: Store) -> tuple[Image, Image]:
    """An image of three layers of 100 MB each (half of them text, half noise), and its lowest layer as the base."""
    text = b"a line of text as programs and their data hold many of; " * 20_000
    layers = []
    for number in range(3):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for part in range(100):
                info = tarfile.TarInfo(f"data/{number}/{part}")
                info.size = LAYER // 100
                archive.addfile(info, io.BytesIO((text if part % 2 else os.urandom(info.size))[: info.size].ljust(info.size)))
        layers.append(stream.getvalue())
    return tuple(_load(folder / str(count), layers[:count], store) for count in (3, 1))  # type: ignore[return-value]  # two of them


def _load(folder: Path, layers: list[bytes], store: Store) -> Image:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, object]:
        (blobs / digest_of(content).partition(":")[2]).write_bytes(content)
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    entries = [put(one, "application/vnd.oci.image.layer.v1.tar") for one in layers]
    rootfs = {"type": "layers", "diff_ids": [entry["digest"] for entry in entries]}
    config = put(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode(), CONFIG_TYPE)
    manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": entries}).encode(), MANIFEST_TYPE)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}), encoding="utf-8")
    return load(str(folder), store)


def _squash(_world: World) -> float:
    with tempfile.TemporaryDirectory(prefix="boinc-harness-bench-") as folder:
        store = Store(Path(folder, "store"))
        image, base = large_image(Path(folder), store)
        start = time.monotonic()
        squash(image, base, store)
        return time.monotonic() - start


#: of container-faults: one exchange of so many fails
JOBS, ONE_OF = 100, 10


def _under_faults(world: World) -> float:
    """Jobs out of 100 that are not validated when one HTTP exchange of ten fails."""
    one = Host(world, "native")
    for endpoint, faults in (("download", 30), ("upload", 40), ("scheduler", 30)):
        for number in range(faults):
            broken: dict[str, Any] = ({"status": 503}, {"reset": True}, {"lose_reply": True})[number % 3]
            one.stack.faults.http(endpoint, times=1, after=ONE_OF * number + number % ONE_OF, **broken)
    made = [one.work.submit(one.image, ["echo", str(number)]).workunits[0] for number in range(JOBS)]
    jobs = [Job(one.stack.project, *entry, one.work.app) for entry in made]
    deadline = Deadline(FAULTS_WITHIN)
    missed = 0
    for job in jobs:
        try:
            job.wait_for(JobState.VALIDATED, within=deadline)
        except (WaitTimeout, WaitFailed):
            missed += 1
    return float(missed)


def container_measures() -> list[Measure]:
    """Those of the table in docs/containers.md."""
    host = _hosts()

    def second_job(world: World) -> float:
        one = host(world, "native")
        before = one.image_bytes()
        one.run()
        return float(one.image_bytes() - before)

    return [
        Measure("container", "container job, image there, submit to validated, fast", "s", 3.0, lambda world: host(world, "native").run()),
        Measure("container-bytes", "bytes of the image sent for a second job", "bytes", 0.0, second_job, at_most=2),
        Measure(
            "container-vm",
            "container job in a VM, image on its disk, warm start, real time",
            "s",
            20.0,
            lambda world: host(world, "vm").run(),
            at_most=3,
            default=False,
        ),
        Measure(
            "container-faults",
            f"of {JOBS} container jobs not validated, one HTTP exchange of {ONE_OF} failing",
            "jobs",
            0.0,
            _under_faults,
            at_most=1,
            default=False,
        ),
        Measure("squash", "squash of an image of 300 MB", "s", 20.0, _squash, at_most=1, default=False),
    ]
