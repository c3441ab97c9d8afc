"""Container jobs: an image and a command as work of a project, with every layer as a BOINC file of its own.

    work = ContainerWork.install(control, "myproject")
    image = load("fit:2", Store.default())
    made = work.submit(image, ["python3", "fit.py"], inputs={"data.csv": path.read_bytes()})

A blob is staged once in a project's life, under a name made from its digest, and is sticky on the volunteers: who has it for one job
has it for every other job, of whatever image.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, unescape

from harness.errors import HarnessError, UsageError
from harness.oci.image import Image, physical_name
from harness.project.embedded import Control
from harness.vbox_app import image_file

APP = "container"
VERSION = "1.0"
PLATFORM = "x86_64-pc-linux-gnu"
#: execve(2): bytes of one word, and of all
MAX_WORD, MAX_COMMAND = 128 * 1024 - 1, 1 << 20
#: what every job uploads, if it has it
OUTPUTS = ("stdout", "stderr", "shared/results.tgz")
MAX_OUTPUT = 1_000_000_000
_BLOB = re.compile(r"\boci_sha256_([0-9a-f]{64})\b")
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

    def __init__(self, control: Control, project: str) -> None:
        self.project = project
        self._control = control
        self._path = f"/projects/{project}"
        self._staged: set[str] | None = None

    @classmethod
    def install(cls, control: Control, project: str) -> ContainerWork:
        """Install the application if the project has none, as an administrator would."""
        work = cls(control, project)
        if APP not in {entry["name"] for entry in control.call("GET", f"{work._path}/apps")}:
            folder = f"{work._path}/tree/apps/{APP}/{VERSION}/{PLATFORM}"
            program = f"container_wrapper_{VERSION}_{PLATFORM}"
            control.call("POST", f"{work._path}/apps", {"name": APP, "user_friendly_name": "Containers"})
            wrapper = image_file("container-wrapper", "/container_wrapper/container_wrapper")
            control.put(f"{folder}/{program}", wrapper, headers={"X-Mode": "0755"})
            version = (
                f"<version>\n<file><physical_name>{program}</physical_name><main_program/></file>\n"
                "<api_version>8.2.15</api_version>\n<is_wrapper/>\n</version>\n"
            )
            control.put(f"{folder}/version.xml", version.encode())
            made = control.call("POST", f"{work._path}/update_versions")
            if not made["app_versions"]:
                raise HarnessError("the container application was not installed", thing=project, details="\n".join(made["messages"]))
        return work

    # --- staging

    def _known(self) -> set[str]:
        """The blobs that jobs of the project have named: they are never deleted."""
        if self._staged is None:
            self._staged = {name for record in self._workunits() for name in _names(str(record["xml_doc"]))}
        return self._staged

    def _workunits(self) -> Iterator[Mapping[str, Any]]:
        yield from self._control.call("GET", f"{self._path}/workunits")

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
        inputs = {check_file_name(name): content for name, content in (inputs or {}).items()}
        tell = progress or (lambda _name, _size: None)
        blobs = {physical_name(layer.digest): (layer.path.read_bytes, layer.size) for layer in image.layers}
        blobs[physical_name(image.id)] = (lambda: image.config, len(image.config))
        blobs[physical_name(image.manifest_digest)] = (lambda: image.manifest, len(image.manifest))
        sent = sum(self._stage(name, content, size, tell) for name, (content, size) in blobs.items())
        reused = sum(size for _, size in blobs.values()) - sent
        document = job.document(image)
        loose = {"container_job.json": document, **{f"shared/{name}": content for name, content in inputs.items()}}
        names = []
        for content in loose.values():
            name = f"in_{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
            self._control.put(f"{self._path}/files/{name}", content, method="POST")
            names.append(name)
        made = self._control.call(
            "POST",
            f"{self._path}/work",
            {
                "app": APP,
                "inputs": [*names, *blobs],
                "count": count,
                "options": {
                    "wu_template": input_template(list(loose), list(blobs), image.name, job.memory_bytes),
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


def _names(xml: str) -> set[str]:
    return {f"oci_sha256_{found}" for found in _BLOB.findall(xml)}


def input_template(copied: Sequence[str], blobs: Sequence[str], image: str, memory: float) -> str:
    """Input files: the job's own (its shared folder's are copied, a container does not see BOINC's links), then the image's."""
    infos = ["<file_info>\n</file_info>\n"] * len(copied) + ["<file_info>\n<sticky/>\n<no_delete/>\n</file_info>\n"] * len(blobs)
    refs = [
        f"<file_ref>\n<file_number>{number}</file_number>\n<open_name>{escape(name)}</open_name>\n"
        + ("<copy_file/>\n" if name.startswith("shared/") else "")
        + "</file_ref>\n"
        for number, name in enumerate([*copied, *(f"image/{name.removeprefix('oci_').replace('_', '-')}" for name in blobs)])
    ]
    limits = (
        f"<container_image>{escape(image)}</container_image>\n"
        "<rsc_fpops_est>1e11</rsc_fpops_est>\n<rsc_fpops_bound>1e17</rsc_fpops_bound>\n"
        f"<rsc_memory_bound>{memory or 1e9:.0f}</rsc_memory_bound>\n<rsc_disk_bound>4e9</rsc_disk_bound>\n"
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
