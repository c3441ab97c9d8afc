"""Faults of virtualization on a volunteer's host: the CPU it shows, and a VBoxManage that fails on demand.

    client = stack.client(vbox=True, cpu=FakeCpu(vmx=False))          # before its start: a container's /proc/cpuinfo
    fault = vbox_fails(stack, client, "startvm", error=OUT_OF_MEMORY)   # while it runs; heal() ends it

The host's CPU is shown through a bind mount over /proc/cpuinfo, from which BOINC's client takes its p_features and p_ncpus
(client/hostinfo_unix.cpp). VBoxManage's faults are lines of a file in the container that images/client/vbox/faults.c obeys.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import containers, engine
from harness.errors import HarnessError, UsageError
from harness.faults.base import Fault

if TYPE_CHECKING:
    from docker.models.containers import Container

    from harness.client import Client
    from harness.stack import Stack

PROGRAM = "/usr/bin/VBoxManage"
FAULTS_FILE = "/tmp/boinc-vbox-faults"
#: the image's user, who runs VBoxManage
USER_ID = 1000
Action = Literal["fail", "say", "hang", "slow"]

_numbers = itertools.count(1)


# --- the CPU that a host shows


@dataclass(frozen=True, slots=True)
class FakeCpu:
    """What a host's /proc/cpuinfo is to show; None: as on this machine."""

    vmx: bool | None = None
    svm: bool | None = None
    hypervisor: bool | None = None
    cores: int | None = None
    vendor: str | None = None

    def text(self, real: str = "") -> str:
        """A cpuinfo made from this machine's (or another `real` one)."""
        return fake_cpuinfo(
            real or Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"),
            flags={"vmx": self.vmx, "svm": self.svm, "hypervisor": self.hypervisor},
            cores=self.cores,
            vendor=self.vendor,
        )

    def mount(self, folder: Path | None = None) -> tuple[Path, dict[str, dict[str, str]]]:
        """The file, written into `folder` (default: a new temporary one), and the docker SDK's `volumes` that mount it.

        The engine has to see this machine's files; the caller removes the file when the container is gone.
        """
        directory = Path(tempfile.mkdtemp(prefix="boinc-harness-cpu-")) if folder is None else folder
        path = directory / "cpuinfo"
        path.write_text(self.text(), encoding="ascii")
        path.chmod(0o644)
        directory.chmod(0o755)
        return path, {str(path): {"bind": "/proc/cpuinfo", "mode": "ro"}}


def fake_cpuinfo(real: str, *, flags: dict[str, bool | None], cores: int | None = None, vendor: str | None = None) -> str:
    """A /proc/cpuinfo like `real` with flags shown (True), hidden (False) or left alone (None), and `cores` processors (None: as many)
    of `vendor` (None: as they are).

    Further processors are copies of the first one, with numbers of their own. Raises `UsageError` for a text that is no cpuinfo
    of x86, or fewer than 1 core.
    """
    blocks = [block for block in re.split(r"\n\s*\n", real.strip()) if re.search(r"^processor\s*:", block, re.MULTILINE)]
    if not blocks or not re.search(r"^flags\s*:", blocks[0], re.MULTILINE):
        raise UsageError("not a /proc/cpuinfo of x86", thing=repr(real[:60]), expected="processor and flags lines")
    if cores is not None and cores < 1:
        raise UsageError("a host with no processor", thing=str(cores), expected="at least 1 core")
    count = len(blocks) if cores is None else cores
    chosen = [blocks[number] if number < len(blocks) else blocks[0] for number in range(count)]
    text = "".join(_processor(block, number, count, flags) + "\n\n" for number, block in enumerate(chosen))
    return text if vendor is None else re.sub(r"^(vendor_id\s*: ).*$", rf"\g<1>{vendor}", text, flags=re.MULTILINE)


def _processor(block: str, number: int, count: int, flags: dict[str, bool | None]) -> str:
    def with_flags(match: re.Match[str]) -> str:
        words = [word for word in match[2].split() if flags.get(word) is not False]
        words += [name for name, shown in flags.items() if shown and name not in words]
        return match[1] + " ".join(words)

    block = re.sub(r"^(flags\s*: )(.*)$", with_flags, block, flags=re.MULTILINE)
    for name, value in (("processor", number), ("core id", number), ("apicid", number), ("initial apicid", number)):
        block = re.sub(rf"^({name}\s*: )\d+$", rf"\g<1>{value}", block, flags=re.MULTILINE)
    for name in ("siblings", "cpu cores"):
        block = re.sub(rf"^({name}\s*: )\d+$", rf"\g<1>{count}", block, flags=re.MULTILINE)
    return block


# --- VBoxManage


@dataclass(frozen=True, slots=True)
class VBoxError:
    """An error as VBoxManage prints it; `code` is COM's."""

    name: str
    code: int
    text: str

    def output(self) -> str:
        details = f"Details: code {self.name} (0x{self.code:08x}), component ConsoleWrap, interface IConsole"
        return f"VBoxManage: error: {self.text}\nVBoxManage: error: {details}"


OBJECT_NOT_FOUND = VBoxError("VBOX_E_OBJECT_NOT_FOUND", 0x80BB0001, "Could not find a registered machine")
INVALID_OBJECT_STATE = VBoxError("VBOX_E_INVALID_OBJECT_STATE", 0x80BB0007, "The machine is not in a state that allows it")
SERVER_EXEC_FAILURE = VBoxError("CO_E_SERVER_EXEC_FAILURE", 0x80080005, "Failed to create the VirtualBox object!")
HOST_ERROR = VBoxError("VBOX_E_HOST_ERROR", 0x80BB0008, "The host refused")
OUT_OF_MEMORY = VBoxError(
    "E_OUTOFMEMORY", 0x8007000E, "Out of memory condition when allocating memory with low physical backing (VERR_NO_LOW_MEMORY)"
)
VMX_DISABLED = VBoxError("E_FAIL", 0x80004005, "VT-x is disabled in the BIOS for all CPU modes (VERR_VMX_MSR_ALL_VMX_DISABLED)")
DRIVER_MISSING = VBoxError("NS_ERROR_FAILURE", 0x80004005, "The VirtualBox kernel driver is not loaded (VERR_VM_DRIVER_NOT_INSTALLED)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the faults file: the calls whose first words match `words` (patterns as of fnmatch) do `action`, `times` times."""

    id: str
    words: str
    action: Action
    argument: str = ""
    times: int | None = None

    def line(self) -> str:
        """As images/client/vbox/faults.c reads it. Raises `UsageError` for what has no place in it."""
        for name, value in (("words", self.words), ("argument", self.argument)):
            if "\t" in value or (name == "words" and "\n" in value):
                raise UsageError(
                    "a fault of VBoxManage with a tab or line break", thing=f"{name}: {value!r}", expected="one line without tabs"
                )
        if not re.fullmatch(r"[A-Za-z0-9]+", self.id):
            raise UsageError("a fault's name", thing=self.id, expected="letters and digits")
        if self.times is not None and self.times < 1:
            raise UsageError("a fault that never strikes", thing=f"times={self.times}", expected="at least 1, or None for always")
        times = "*" if self.times is None else str(self.times)
        argument = self.argument.replace("\n", "\\n")
        return "\t".join((self.id, times, self.action, argument, self.words))


class VBoxFaults:
    """The faults file of one container."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.rules: list[Rule] = []

    def write(self, rules: Iterable[Rule]) -> None:
        """Put these rules in force instead of all others; none: VBoxManage works again."""
        self.rules = list(rules)
        content = "".join(rule.line() + "\n" for rule in self.rules).encode()
        containers.write_file(self.container, FAULTS_FILE + ".new", content, owner=USER_ID)
        with engine.guard(f"writing the faults of {self.container.name}"):
            done = containers.execute(self.container, ["mv", "-f", FAULTS_FILE + ".new", FAULTS_FILE])
        if done.exit_code:
            raise HarnessError("the faults file cannot be written", thing=f"{FAULTS_FILE} of {self.container.name}", details=done.text)

    def add(self, rule: Rule) -> None:
        """Put one more rule in force."""
        self.write([*self.rules, rule])

    def remove(self, rule: Rule) -> None:
        """End one rule."""
        self.write(other for other in self.rules if other.id != rule.id)

    def struck(self, rule: Rule) -> list[str]:
        """The calls (their words) that a rule has met so far, in order."""
        marks = f"{FAULTS_FILE}.{rule.id}."
        script = f'n=1; while [ -e "{marks}$n" ]; do cat "{marks}$n"; echo; n=$((n + 1)); done'
        with engine.guard(f"reading the faults of {self.container.name}"):
            done = containers.execute(self.container, ["sh", "-c", script])
        if done.exit_code:
            raise HarnessError("the marks of a fault cannot be read", thing=f"{rule.id} in {self.container.name}", details=done.text)
        return done.text.splitlines()


_files: dict[str, VBoxFaults] = {}


def vbox_fault(
    stack: Stack,
    client: Client,
    words: str,
    action: Action,
    argument: str = "",
    *,
    times: int | None = None,
) -> Fault:
    """Let VBoxManage misbehave on a client when called with `words` ("startvm", "controlvm * pause"), once, often or always.

    `action`: "fail" prints `argument` as its error and ends with 1; "say" prints it as its output and ends with 0 (a wrong
    `--version`, say); "hang" never returns; "slow" takes `argument` seconds more. Healed: the rule is gone, hanging calls go on hanging.
    """
    file = _files.setdefault(str(client.container.id), VBoxFaults(client.container))
    rule = Rule(f"f{next(_numbers)}", words, action, argument, times)
    file.add(rule)

    def heal() -> dict[str, object]:
        struck = file.struck(rule)
        file.remove(rule)
        return {"struck": len(struck)}

    return stack.faults.add("VBoxManage", client.name, heal, words=words, action=action, argument=argument, times=times)


def vbox_fails(stack: Stack, client: Client, words: str, *, error: VBoxError, times: int | None = None) -> Fault:
    """Let VBoxManage fail with one of VirtualBox's errors when called with `words`."""
    return vbox_fault(stack, client, words, "fail", error.output(), times=times)


def vbox_missing(stack: Stack, client: Client) -> Fault:
    """Take VBoxManage away from everybody on a client, as an uninstallation would. VMs that run go on."""

    def mode(bits: str) -> None:
        with engine.guard(f"changing VBoxManage of {client.name}"):
            done = containers.execute(client.container, ["chmod", bits, PROGRAM], user="root")
        if done.exit_code:
            raise HarnessError("VBoxManage's mode cannot be changed", thing=f"{PROGRAM} of {client.name}", details=done.text)

    mode("a-x")
    return stack.faults.add("VBoxManage missing", client.name, lambda: mode("a+x"))


class VirtualizationFaults:
    """Part of `Faults`."""

    stack: Stack
    add: Callable[..., Fault]

    def vbox(self, client: Client, words: str, *, error: VBoxError, times: int | None = None) -> Fault:
        """See `vbox_fails`."""
        return vbox_fails(self.stack, client, words, error=error, times=times)

    def vbox_missing(self, client: Client) -> Fault:
        """See `vbox_missing`."""
        return vbox_missing(self.stack, client)

    def vbox_broken(self, client: Client, words: str, *, times: int | None = None) -> Fault:
        """A VBoxManage that ends in the middle of such a call, with no error of VirtualBox's."""
        return vbox_fault(self.stack, client, words, "fail", "Segmentation fault", times=times)

    def vbox_hangs(self, client: Client, words: str, *, times: int | None = None) -> Fault:
        """A VBoxManage that does not return from such a call."""
        return vbox_fault(self.stack, client, words, "hang", times=times)

    def vbox_slow(self, client: Client, words: str, seconds: float, *, times: int | None = None) -> Fault:
        """A VBoxManage that takes its time for such a call."""
        return vbox_fault(self.stack, client, words, "slow", f"{seconds:g}", times=times)

    def vbox_version(self, client: Client, version: str) -> Fault:
        """A VirtualBox of another version, as far as those see who ask it: "6.1.0r140961"."""
        return vbox_fault(self.stack, client, "--version", "say", version)
