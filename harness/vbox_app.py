"""An application that runs in a virtual machine: a vboxwrapper, a guest image and a vbox_job.xml, as a project installs them.

    app = VmApp.install(stack.project)                         # our wrapper, our guest
    job = app.submit("tr a-z A-Z < in > out", input=b"hello")  # a shell command in the guest

The wrapper is a plug: any other build (`Wrapper.at(PATH)`) takes its place, with what it needs in the job file and the files' links.
"""

from __future__ import annotations

import functools
import io
import itertools
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from harness import engine, images
from harness.errors import HarnessError, UsageError
from harness.jobs import Job
from harness.project.base import Project

if TYPE_CHECKING:
    from harness.faults.vbox import FakeCpu

PLATFORM = "x86_64-pc-linux-gnu"
PLAN_CLASS = "vbox64"
#: of the slot: the guest's log as our wrapper keeps it
GUEST_LOG = "vm_guest.log"
#: what every job file here has; `None` leaves an option out, True writes an empty element
DEFAULTS: Mapping[str, object] = {
    "os_name": "Linux26_64",
    "memory_size_mb": 128,
    "boot_iso": True,
    "enable_isocontextualization": True,
    "enable_shared_directory": True,
    "completion_trigger_file": "completion_trigger_file",
    "fraction_done_filename": "fraction_done",
    "minimum_checkpoint_interval": 600,
}

#: what our wrapper can and the stock one cannot, by the options of vbox_job.xml that ask for it
FEATURES = ("persistent_disk", "warm_start", "without_acceleration", "max_shared_files", "guest_log_limit_mb", "max_restarts")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A vboxwrapper build. `stock` ones read no links, know none of our options, and take no less than 512 MB."""

    program: bytes

    @classmethod
    def ours(cls) -> Wrapper:
        """The one in images/apps/vboxwrapper."""
        return cls(image_file("vboxwrapper", "/vboxwrapper/vboxwrapper"))

    @classmethod
    def at(cls, path: Path) -> Wrapper:
        """Another build. Raises `UsageError`."""
        try:
            program = path.read_bytes()
        except OSError as error:
            raise UsageError("a vboxwrapper that cannot be read", thing=str(path), expected=f"an executable file: {error}") from error
        if not program.startswith((b"\x7fELF", b"#!")):
            raise UsageError("a vboxwrapper that is no program", thing=str(path), expected="an ELF executable or a script")
        return cls(program)

    @classmethod
    def chosen(cls, path: Path | None) -> Wrapper:
        """The one at `path`, or ours if none is named. Raises `UsageError`."""
        return cls.ours() if path is None else cls.at(path)

    @property
    def features(self) -> frozenset[str]:
        """Those of `FEATURES` that it has; it says so itself, in a string of its own."""
        found = re.search(rb"VBOXWRAPPER_FEATURES ([a-z_ ]*);", self.program)
        return frozenset(found[1].decode("ascii").split()) & frozenset(FEATURES) if found else frozenset()

    def lacks(self, options: Iterable[str]) -> list[str]:
        """Those of a job file's options that it does not know."""
        return sorted(set(options) & set(FEATURES) - self.features)

    @property
    def stock(self) -> bool:
        """Is it one without anything of ours?"""
        return not self.features

    @property
    def cpu(self) -> FakeCpu | None:
        """What its hosts have to show: a stock one makes no 64-bit VM where no acceleration is to be seen, needed or not."""
        from harness.faults.vbox import FakeCpu  # noqa: PLC0415 - the faults know the clients, which know this

        return FakeCpu(svm=True) if self.stock else None


@functools.cache
def image_file(image: str, path: str) -> bytes:
    """A file out of one of our images, built if need be. Raises `HarnessError`."""
    tag = images.ensure(image)
    docker = engine.connect()
    with engine.guard(f"reading {path} of {tag}"):
        container = docker.containers.create(tag, command=["none"])
        try:
            chunks, _ = container.get_archive(path)
            data = b"".join(chunks)
        finally:
            container.remove(force=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        if member is None:
            raise HarnessError("no file in an image", thing=f"{path} of {tag}", expected="a file")
        return member.read()


def guest_iso() -> bytes:
    """The boot ISO of images/guest."""
    return image_file("guest", "/guest/boinc-guest.iso")


def job_xml(options: Mapping[str, object]) -> str:
    """A vbox_job.xml. A list is written as several elements, a mapping as a group."""

    def element(name: str, value: object) -> str:
        if value is None or value is False:
            return ""
        if value is True:
            return f"<{name}/>\n"
        if isinstance(value, Mapping):
            return f"<{name}>\n" + "".join(element(str(key), inner) for key, inner in value.items()) + f"</{name}>\n"
        if isinstance(value, (list, tuple)):
            return "".join(element(name, one) for one in value)
        return f"<{name}>{escape(str(value))}</{name}>\n"

    return "<vbox_job>\n" + "".join(element(name, value) for name, value in options.items()) + "</vbox_job>\n"


class VmApp:
    """An installed application. Made by `install`."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name

    @classmethod
    def install(
        cls,
        project: Project,
        *,
        name: str = "vm",
        wrapper: Wrapper | None = None,
        iso: bytes | None = None,
        job_file: str | None = None,
        files: Mapping[str, bytes] | None = None,
        needs_acceleration: bool = False,
        **options: object,
    ) -> VmApp:
        """Install it. `options` are elements of vbox_job.xml over `DEFAULTS`; `job_file` is the whole text instead.

        `files` are more files of the app version, copied into each job's slot under these names ("shared/image.tar").
        `needs_acceleration` makes the plan class ask for VT-x or AMD-V; a driverless host neither has nor needs it.
        """
        wrapper = wrapper or Wrapper.ours()
        text = job_file if job_file is not None else job_xml({**DEFAULTS, **options})
        project.put_file("plan_class_spec.xml", plan_class_spec(needs_acceleration).encode())
        project.install_app(name, user_friendly_name=f"{name} in a virtual machine")
        folder = f"apps/{name}/1.0/{PLATFORM}__{PLAN_CLASS}"
        program, image, job = f"vboxwrapper_{name}_{PLATFORM}", f"{name}_guest.iso", f"{name}_vbox_job.xml"
        project.put_file(f"{folder}/{program}", wrapper.program, executable=True)
        project.put_file(f"{folder}/{image}", guest_iso() if iso is None else iso)
        project.put_file(f"{folder}/{job}", text.encode())
        copy = "<copy_file/>" if wrapper.stock else ""
        more = ""
        for number, (open_name, content) in enumerate((files or {}).items()):
            physical = f"{name}_file_{number}"
            project.put_file(f"{folder}/{physical}", content)
            more += f"<file><physical_name>{physical}</physical_name><logical_name>{open_name}</logical_name><copy_file/></file>\n"
        project.put_file(
            f"{folder}/version.xml",
            (
                f"<version>\n<file><physical_name>{program}</physical_name><main_program/></file>\n"
                f"<file><physical_name>{image}</physical_name><logical_name>vm_isocontext.iso</logical_name>{copy}</file>\n"
                f"<file><physical_name>{job}</physical_name><logical_name>vbox_job.xml</logical_name></file>\n{more}"
                "<api_version>8.2.15</api_version>\n<is_wrapper/>\n</version>\n"
            ).encode(),
        )
        if not project.update_versions():
            raise HarnessError("the VM application was not installed", thing=name, expected="an app version", details=project.log()[-2000:])
        return cls(project, name)

    def submit(
        self,
        command: str = "",
        *,
        input: bytes = b"",  # noqa: A002 - as Project.submit
        conf: Mapping[str, object] | None = None,
        files: Mapping[str, bytes] | None = None,
        outputs: Sequence[str] = ("shared/out",),
        log: bool = False,
        command_line: str = "",
        disk_bound: float = 4e9,
        **options: object,
    ) -> Job:
        """One job: a shell command in the guest, with the input, if there is any, as `in` in its shared folder.

        `conf` are further lines of the guest's job.conf, `files` more inputs by their names in the slot ("shared/x"), `outputs` the
        files of the slot that are uploaded (those that are there), `log` uploads the guest's log as well. Other options as of
        `Project.submit`.
        """
        settings = {**({"command": command} if command else {}), **(conf or {})}
        # Inputs are named by their contents, and go when the first job that has them is done.
        job_conf = f"# job {next(_numbers)} of {self.name}\n" + "".join(f"{key}={value}\n" for key, value in settings.items())
        inputs = {"shared/job.conf": job_conf.encode(), **({"shared/in": input} if input else {}), **(files or {})}
        names = [*outputs, *([GUEST_LOG] if log else [])]
        return self.project.submit(
            self.name,
            input=list(inputs.values()),
            command_line=command_line,
            input_template=input_template(list(inputs), disk_bound),
            result_template=result_template(names),
            **options,  # type: ignore[arg-type]  # options hold submit's own
        )


def plan_class_spec(needs_acceleration: bool) -> str:
    """plan_class_spec.xml with the plan class of VM applications."""
    wish = "<vm_accel_required/>" if needs_acceleration else ""
    return f"<plan_classes>\n<plan_class>\n<name>{PLAN_CLASS}</name>\n<virtualbox/>\n<is64bit/>\n{wish}\n</plan_class>\n</plan_classes>\n"


def input_template(names: Sequence[str], disk_bound: float) -> str:
    """Input files, copied into the slot: a guest does not see BOINC's links."""
    files = "<file_info>\n</file_info>\n" * len(names)
    refs = "".join(
        f"<file_ref>\n<file_number>{number}</file_number>\n<open_name>{name}</open_name>\n<copy_file/>\n</file_ref>\n"
        for number, name in enumerate(names)
    )
    limits = (
        f"<rsc_fpops_est>1e10</rsc_fpops_est>\n<rsc_fpops_bound>1e18</rsc_fpops_bound>\n<rsc_memory_bound>1e9</rsc_memory_bound>\n"
        f"<rsc_disk_bound>{disk_bound:g}</rsc_disk_bound>\n<delay_bound>86400</delay_bound>\n<max_error_results>1</max_error_results>\n"
        "<max_total_results>1</max_total_results>\n"
    )
    return f"<input_template>\n{files}<workunit>\n{refs}{limits}</workunit>\n</input_template>\n"


def result_template(names: Sequence[str]) -> str:
    """Output files, moved out of the slot; one that is not there is no error."""
    files = "".join(
        f"<file_info>\n<name><OUTFILE_{number}/></name>\n<generated_locally/>\n<upload_when_present/>\n"
        "<max_nbytes>100000000</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n"
        for number in range(len(names))
    )
    refs = "".join(
        f"<file_ref>\n<file_name><OUTFILE_{number}/></file_name>\n<open_name>{name}</open_name>\n<copy_file/>\n<optional/>\n</file_ref>\n"
        for number, name in enumerate(names)
    )
    return f"<output_template>\n{files}<result>\n{refs}</result>\n</output_template>\n"
