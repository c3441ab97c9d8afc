"""BOINC's own docker_wrapper in the place of our container wrapper: the same job as a Dockerfile and a job.toml.

It builds an image for each job from files of its slot. As nothing can be pulled, that is FROM scratch, with the image's layers, which
the client has downloaded, unpacked one over the other. What that cannot do, and what the wrapper does not do, is missing from
`FEATURES`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.oci.image import Image, hex_of

if TYPE_CHECKING:
    from harness.oci.work import ContainerJob

#: what our wrapper can and docker_wrapper cannot
FEATURES = (
    "fetch_again",  # a file of the image that is damaged is found, and fetched again
    "kept_images",  # an image stays on the engine for the next job
    "memory",  # a job that uses more memory than it may is ended
    "missing_outputs",  # a job without an output that was asked for fails
    "outside_engine",  # an engine outside of the client's own container
    "pause_without_cgroup",  # podman's pause needs one, and a client's container has none
    "results",  # the folder `results` is uploaded
    "shown",  # what the job writes is in the task's stderr.txt
    "start_anew",  # a client that quits ends the container, and starts it anew
    "users",  # a job's user other than root may write outputs
    "waits",  # where there is no engine the task waits, with a notice
    "whiteouts",  # layers that remove files of those below
)
#: docker_wrapper works on hosts that report an engine only, and the client tells it which for plan classes with "docker" in their names
PLAN_CLASS = "docker_container"
#: where the slot is in the container
SLOT = "/boinc"


@dataclass(frozen=True, slots=True)
class DockerWrapper:
    """A build of docker_wrapper."""

    program: bytes

    @classmethod
    def at(cls, path: Path) -> DockerWrapper:
        """Raises `UsageError`."""
        program = path.read_bytes()
        if not program.startswith((b"\x7fELF", b"#!")):
            raise UsageError("a docker_wrapper that is no program", thing=str(path), expected="an ELF executable or a script")
        return cls(program)


def files(image: Image, job: ContainerJob) -> dict[str, bytes]:
    """What a job has in its slot besides its inputs and its layers, all of it copied there. Raises `UsageError`."""
    return {"Dockerfile": dockerfile(image, job).encode(), "job.toml": job_toml(job).encode(), "shared/.keep": b""}


def dockerfile(image: Image, job: ContainerJob) -> str:
    """The image that the job runs: that of the project, with the job's own command. Raises `UsageError`."""
    for layer in image.layers:
        with tarfile.open(layer.path, "r:gz") as archive:
            if any(name.rpartition("/")[2].startswith(".wh.") for name in archive.getnames()):
                raise UsageError("an image whose layers remove files", thing=image.name, expected="none for docker_wrapper (squash it)")
    found = image.settings.get("config")
    settings: Mapping[str, object] = found if isinstance(found, dict) else {}
    environment = dict(word.split("=", 1) for word in _words(settings.get("Env")))
    environment |= {"SHARED": "/shared", **job.environment}
    entrypoint = _words(settings.get("Entrypoint")) if job.entrypoint is None else list(job.entrypoint)
    command = list(job.command) or (_words(settings.get("Cmd")) if job.entrypoint is None else [])
    # docker_wrapper hands on a container's output at its end, mixed; these files are uploaded
    run = ["/bin/sh", "-c", f'exec "$@" > {SLOT}/stdout 2> {SLOT}/stderr', "sh", *entrypoint, *command]
    lines = ["FROM scratch", *(f"ADD image/sha256-{hex_of(layer.digest, image.name)} /" for layer in image.layers)]
    lines += [f"ENV {name}={_quoted(value)}" for name, value in environment.items()]
    lines += [
        f"{word} {value}"
        for word, value in (("WORKDIR", job.workdir or settings.get("WorkingDir")), ("USER", job.user or settings.get("User")))
        if value
    ]
    return "\n".join([*lines, f"ENTRYPOINT {json.dumps(run)}", ""])


def job_toml(job: ContainerJob) -> str:
    """How docker_wrapper makes the container."""
    network = "" if job.network else "--network=none"
    return f'workdir = "{SLOT}"\nmount = ["./shared:/shared", "./shared:/root/shared"]\ncreate_args = "{network}"\n'


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def _quoted(value: str) -> str:
    if "\n" in value:
        raise UsageError("an environment variable of several lines", thing=repr(value[:100]), expected="one line in a Dockerfile")
    return '"' + "".join(f"\\{letter}" if letter in '\\"$' else letter for letter in value) + '"'


def lacks(needs: Iterable[str]) -> list[str]:
    """Those of the features that docker_wrapper has not. Raises `UsageError` for what is no feature."""
    if unknown := set(needs) - set(FEATURES):
        raise UsageError("no feature of a container wrapper", thing=", ".join(sorted(unknown)), expected=f"some of {', '.join(FEATURES)}")
    return sorted(needs)
