"""Container jobs: an image and a command as work of a project, with every layer as a BOINC file of its own.

    work = ContainerWork.install(control, "myproject")
    image = load("fit:2", Store.default())
    made = work.submit(image, ["python3", "fit.py"], inputs={"data.csv": path.read_bytes()})

A blob is staged once in a project's life, under a name made from its digest, and is sticky on the volunteers: who has it for one job
has it for every other job, of whatever image.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, unescape

from harness.errors import UsageError
from harness.oci import docker_wrapper, vm
from harness.oci.docker_wrapper import DockerWrapper
from harness.oci.image import Image, physical_name
from harness.oci.versions import APPS, Where, install
from harness.project.embedded import Control

APP = APPS["native"]
#: execve(2): bytes of one word, and of all
MAX_WORD, MAX_COMMAND = 128 * 1024 - 1, 1 << 20
#: what every job uploads, if it has it
OUTPUTS = ("stdout", "stderr", "shared/results.tgz")
MAX_OUTPUT = 1_000_000_000
_INPUT = re.compile(r"<name>([^<]+)</name>")
_FILE = re.compile(r"<file_info>.*?<name>(oci_sha256_[0-9a-f]{64})</name>.*?<nbytes>([0-9.e+]+)</nbytes>", re.DOTALL)
_IMAGE = re.compile(r"<container_image>(.*?)</container_image>", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.+@=,-]{1,200}\Z")

#: told of each file: what, and its number of bytes (0: it was there already)
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class ContainerJob:
    """What a job asks for besides its image; see images/apps/container_wrapper/README.md. `memory_bytes` and `cpus`: 0 is no limit."""

    command: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    network: bool = False
    memory_bytes: float = 0
    cpus: float = 0
    stop_seconds: float = 5
    outputs: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what no volunteer could run. Raises `UsageError`."""
        words = [*(self.entrypoint or ()), *self.command, *(f"{name}={value}" for name, value in self.environment.items())]
        for word in words:
            if "\0" in word or len(word.encode()) > MAX_WORD:
                expected = f"at most {MAX_WORD} bytes, no NUL"
                raise UsageError("a word of the command is too long", thing=f"{word[:60]!r}...", expected=expected)
        if sum(len(word.encode()) + 1 for word in words) > MAX_COMMAND:
            raise UsageError("the command is too long", expected=f"at most {MAX_COMMAND} bytes", remedy="put it into an input file")
        for name in self.environment:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise UsageError("no name of an environment variable", thing=repr(name[:100]), expected="letters, digits, _")
        for name in self.outputs:
            check_file_name(name)

    def document(self, image: Image) -> bytes:
        """container_job.json."""
        found: dict[str, object] = {"manifest": image.manifest_digest}
        for name in ("command", "environment", "workdir", "user", "network", "memory_bytes", "cpus", "stop_seconds", "outputs"):
            value = getattr(self, name)
            if value:
                found[name] = dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, (list, tuple)) else value
        if self.entrypoint is not None:
            found["entrypoint"] = list(self.entrypoint)
        return json.dumps(found, sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of a submission. `sent` are the bytes that went to the server, `reused` those that were there already."""

    workunits: Sequence[tuple[int, str]]
    sent: int
    reused: int


@dataclass(slots=True)
class KnownImage:
    """An image that jobs of a project use. `shared` are bytes of files that other images use, too; `hosts` have had them."""

    name: str
    files: dict[str, float]
    jobs: int = 0
    unfinished: int = 0
    shared: float = 0
    hosts: set[int] = field(default_factory=set)

    @property
    def size(self) -> float:
        return sum(self.files.values())


def check_file_name(name: str) -> str:
    """The name of a file of a job's shared folder. Raises `UsageError`."""
    if not _PLAIN.match(name) or name.startswith((".", "-")) or ".." in name:
        raise UsageError("no usable name of a job's file", thing=repr(name[:100]), expected="letters, digits and _.+@=,- (no folders)")
    return name


class ContainerWork:
    """A project's container jobs, through its server's control interface."""

    def __init__(self, control: Control, project: str, where: Where = "native", *, plug: DockerWrapper | None = None) -> None:
        self.project = project
        self.where = where
        self.app = APPS[where]
        self._plug = plug
        self._control = control
        self._path = f"/projects/{project}"
        self._staged: set[str] | None = None

    @classmethod
    def install(
        cls,
        control: Control,
        project: str,
        where: Where = "native",
        *,
        disk_mb: int = vm.DISK_MB,
        vboxwrapper: bytes | None = None,
        plug: DockerWrapper | None = None,
    ) -> ContainerWork:
        """Install the application if the project has none, as an administrator would.

        `where` is what runs its jobs: the volunteer's own engine, a virtual machine, or either. `disk_mb` is how much of images a
        volunteer's virtual machines keep; `vboxwrapper` another build of the VirtualBox wrapper that knows container jobs, `plug` BOINC's
        own docker_wrapper in the place of the container wrapper (`native` only).
        """
        work = cls(control, project, where, plug=plug if where == "native" else None)
        if work.app not in {entry["name"] for entry in control.call("GET", f"{work._path}/apps")}:
            install(control, project, where, disk_mb, vboxwrapper, work._plug)
        return work

    # --- staging

    def _known(self) -> set[str]:
        """The blobs that are on the server."""
        if self._staged is None:
            self._staged = set(self._files("oci_sha256_"))
        return self._staged

    def _files(self, prefix: str) -> dict[str, float]:
        return {str(one["name"]): float(one["nbytes"]) for one in self._control.call("GET", f"{self._path}/files?prefix={prefix}")}

    def _workunits(self) -> Iterator[Mapping[str, Any]]:
        yield from self._control.call("GET", f"{self._path}/workunits")

    def collect_garbage(self) -> dict[str, float]:
        """Delete the files of images (and of series of jobs) that no job needs which is not done; returns their names and bytes.

        What volunteers have of them stays with them: clients delete sticky files when they need the room.
        """
        needed, had = set(), set()
        for record in self._workunits():
            names = set(_INPUT.findall(str(record["xml_doc"])))
            if _IMAGE.search(str(record["xml_doc"])):
                had |= names
            if record["file_delete_state"] == 0:
                needed |= names
        there = {**self._files("oci_sha256_"), **{name: size for name, size in self._files("in_").items() if name in had}}
        gone = {name: size for name, size in there.items() if name not in needed}
        for name in gone:
            self._control.call("DELETE", f"{self._path}/files/{name}")
        self._staged = None
        return gone

    def _stage(self, name: str, content: Callable[[], bytes], size: int, progress: Progress) -> int:
        """Bytes that had to be sent."""
        known = self._known()
        if name in known:
            progress(name, 0)
            return 0
        progress(name, size)
        self._control.put(f"{self._path}/files/{name}", content(), method="POST")
        known.add(name)
        return size

    def submit(
        self,
        image: Image,
        command: Sequence[str] = (),
        *,
        inputs: Mapping[str, bytes] | None = None,
        count: int = 1,
        progress: Progress | None = None,
        options: Mapping[str, object] | None = None,
        **wishes: object,
    ) -> Submitted:
        """Make `count` jobs of an image and a command.

        `inputs` are files of the shared folder, `wishes` fields of `ContainerJob`, `options` those of create_work.
        """
        job = ContainerJob(command=list(command), **wishes)  # type: ignore[arg-type]  # its own fields
        job.check()
        if self.where != "native" and job.network:
            raise UsageError("a virtual machine's container has no network", expected="no --network, or --native")
        vm.words(image, job)
        inputs = {check_file_name(name): content for name, content in (inputs or {}).items()}
        tell = progress or (lambda _name, _size: None)
        blobs = {physical_name(layer.digest): (layer.path.read_bytes, layer.size) for layer in image.layers}
        blobs[physical_name(image.id)] = (lambda: image.config, len(image.config))
        blobs[physical_name(image.manifest_digest)] = (lambda: image.manifest, len(image.manifest))
        sent = sum(self._stage(name, content, size, tell) for name, (content, size) in blobs.items())
        reused = sum(size for _, size in blobs.values()) - sent
        own = {"container_job.json": job.document(image)} if self._plug is None else docker_wrapper.files(image, job)
        loose = {**own, **{f"shared/{name}": content for name, content in inputs.items()}}
        if self.where != "native":
            loose |= {vm.CONFIG: vm.config(image, job), vm.CONF: vm.conf(image, job)}
        machine = 0 if self.where == "native" else vm.memory_mb(job)
        names = []
        for content in loose.values():
            # not by the contents: the file of a job that is done would be deleted under the next one that is the same
            name = f"in_{uuid.uuid4().hex}"
            self._control.put(f"{self._path}/files/{name}", content, method="POST")
            names.append(name)
        made = self._control.call(
            "POST",
            f"{self._path}/work",
            {
                "app": self.app,
                "inputs": [*names, *blobs],
                "count": count,
                "options": {
                    "wu_template": input_template(
                        list(loose), list(blobs), image.name, job, machine, keep=count > 1, copied=self._plug is not None
                    ),
                    "result_template": result_template([*OUTPUTS, *(f"shared/{name}" for name in job.outputs)]),
                    **(options or {}),
                },
            },
        )
        return Submitted([(one["id"], one.get("name", "")) for one in made["workunits"]], sent, reused)

    # --- looking

    def images(self) -> list[KnownImage]:
        """The images of the project's jobs, those used first first."""
        found: dict[tuple[str, frozenset[str]], KnownImage] = {}
        by_workunit: dict[int, KnownImage] = {}
        for record in self._workunits():
            xml = str(record["xml_doc"])
            title = _IMAGE.search(xml)
            if title is None:
                continue
            files = {name: float(size) for name, size in _FILE.findall(xml)}
            name = unescape(title[1].strip())
            image = found.setdefault((name, frozenset(files)), KnownImage(name, files))
            image.jobs += 1
            image.unfinished += record["assimilate_state"] == 0
            by_workunit[int(record["id"])] = image
        for result in self._control.call("GET", f"{self._path}/results"):
            if result["hostid"] and result["workunitid"] in by_workunit:
                by_workunit[result["workunitid"]].hosts.add(result["hostid"])
        known = list(found.values())
        for image in known:
            elsewhere = {name for other in known if other is not image for name in other.files}
            image.shared = sum(size for name, size in image.files.items() if name in elsewhere)
        return known


def input_template(
    loose: Sequence[str], blobs: Sequence[str], image: str, job: ContainerJob, machine_mb: int, *, keep: bool, copied: bool = False
) -> str:
    """Input files: the job's own (what a container or a guest reads is copied: it does not see BOINC's links), then the image's.

    `copied`: all of them, for a wrapper that follows no links either.

    `keep`: several jobs have these files, so the first that is done must not take them along.
    """
    own = "<file_info>\n<no_delete/>\n</file_info>\n" if keep else "<file_info>\n</file_info>\n"
    infos = [own] * len(loose) + ["<file_info>\n<sticky/>\n<no_delete/>\n</file_info>\n"] * len(blobs)
    refs = [
        f"<file_ref>\n<file_number>{number}</file_number>\n<open_name>{escape(name)}</open_name>\n"
        + ("<copy_file/>\n" if copied or name.startswith("shared/") or name in (vm.CONFIG, vm.CONF) else "")
        + "</file_ref>\n"
        for number, name in enumerate([*loose, *(f"image/{name.removeprefix('oci_').replace('_', '-')}" for name in blobs)])
    ]
    limits = (
        f"<container_image>{escape(image)}</container_image>\n"
        "<rsc_fpops_est>1e11</rsc_fpops_est>\n<rsc_fpops_bound>1e17</rsc_fpops_bound>\n"
        + (f"<command_line>--memory_size_mb {machine_mb}</command_line>\n" if machine_mb else "")
        + f"<rsc_memory_bound>{max(job.memory_bytes or 1e9, machine_mb * 2**20):.0f}</rsc_memory_bound>\n"
        "<rsc_disk_bound>4e9</rsc_disk_bound>\n"
        "<delay_bound>604800</delay_bound>\n"
        "<max_error_results>3</max_error_results>\n<max_total_results>6</max_total_results>\n"
    )
    return f"<input_template>\n{''.join(infos)}<workunit>\n{''.join(refs)}{limits}</workunit>\n</input_template>\n"


def result_template(names: Sequence[str]) -> str:
    """Output files, moved out of the slot; the wrapper itself fails a task without one that was asked for."""
    files = "".join(
        f"<file_info>\n<name><OUTFILE_{number}/></name>\n<generated_locally/>\n<upload_when_present/>\n"
        f"<max_nbytes>{MAX_OUTPUT}</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n"
        for number in range(len(names))
    )
    refs = "".join(
        f"<file_ref>\n<file_name><OUTFILE_{number}/></file_name>\n<open_name>{escape(name)}</open_name>\n<copy_file/>\n<optional/>\n</file_ref>\n"
        for number, name in enumerate(names)
    )
    return f"<output_template>\n{files}<result>\n{refs}</result>\n</output_template>\n"


__all__ = ["ContainerJob", "ContainerWork", "KnownImage", "Submitted"]
