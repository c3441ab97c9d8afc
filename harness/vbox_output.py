"""What VBoxManage and VBox.log say, read: the formats of VirtualBox 7.2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: what a piece of a long line ends with (images/guest/README.md)
CONTINUED = "\x1e"
_GUEST_LINE = re.compile(r"^(\d+):(\d\d):(\d\d\.\d+) (?:\S+ )?(?:VMMDev: )?Guest Log: (.*)$")
_LISTED = re.compile(r'^"(.*)" \{([0-9a-f-]{36})\}$')
_PROGRAMS = ("VBoxHeadless", "VBoxSVC", "VBoxManage", "VBoxXPCOMIPCD", "VBoxNetDHCP", "VBoxNetNAT")


@dataclass(frozen=True, slots=True)
class GuestLine:
    """One whole line that the guest (or its BIOS) wrote; `seconds` since the VM was powered on, of the line's first piece."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A registered VM; one whose settings file is gone has the name "<inaccessible>"."""

    name: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Medium:
    """A registered disk or CD image; `state` as VirtualBox says it ("created", "inaccessible", "locked read")."""

    kind: Literal["hdd", "dvd", "floppy"]
    uuid: str
    location: str
    state: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process of VirtualBox; `pid` is the container's."""

    pid: int
    program: str
    command_line: str


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What of VirtualBox is left on a host; false if nothing is. VBoxSVC ends by itself 5 s after its last caller: it does not count."""

    machines: tuple[Machine, ...]
    media: tuple[Medium, ...]
    processes: tuple[Process, ...]

    def __bool__(self) -> bool:
        return bool(self.machines or self.media or self.processes)

    def __str__(self) -> str:
        found = [f"VM {machine.name} {machine.uuid}" for machine in self.machines]
        found += [f"{medium.kind} {medium.location} ({medium.state})" for medium in self.media]
        found += [f"process {process.pid} {process.command_line}" for process in self.processes]
        return "; ".join(found) or "nothing"


def guest_lines(log: str) -> list[GuestLine]:
    """The guest's lines in a VBox.log, in order, pieces of long ones put together; what has no newline yet is left for later."""
    complete, newline, _ = log.rpartition("\n")
    lines: list[GuestLine] = []
    pending: GuestLine | None = None
    for raw in complete.split("\n") if newline else []:
        match = _GUEST_LINE.match(raw)
        if match is None:
            continue
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        piece = match[4]
        line = GuestLine(seconds, piece) if pending is None else GuestLine(pending.seconds, pending.text + piece)
        if piece.endswith(CONTINUED):
            pending = GuestLine(line.seconds, line.text[: -len(CONTINUED)])
        else:
            pending = None
            lines.append(line)
    return lines


def machine_readable(text: str) -> dict[str, str]:
    """`showvminfo --machinereadable` as a mapping; values and quoted names without their quotes."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r'^(?:"([^"]*)"|([^=]+))=(.*)$', line)
        if match:
            value = match[3]
            quoted = len(value) >= 2 and value[0] == value[-1] == '"'
            found[match[1] or match[2]] = value[1:-1] if quoted else value
    return found


def listed_machines(text: str) -> tuple[Machine, ...]:
    """`VBoxManage list vms`."""
    found = (_LISTED.match(line) or re.match(r"^(<inaccessible>) \{([0-9a-f-]{36})\}$", line) for line in text.splitlines())
    return tuple(Machine(match[1], match[2]) for match in found if match)


def listed_media(kind: Literal["hdd", "dvd", "floppy"], text: str) -> tuple[Medium, ...]:
    """`VBoxManage list hdds` and its kin: blocks of `Name: value` lines."""
    found: list[Medium] = []
    for block in re.split(r"\n\s*\n", text):
        fields = {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in block.splitlines()) if colon}
        if "UUID" in fields and "Location" in fields:
            found.append(Medium(kind, fields["UUID"], fields["Location"], fields.get("State", "")))
    return tuple(found)


def listed_processes(text: str) -> tuple[Process, ...]:
    """VirtualBox's among lines of `PID COMMAND-LINE`."""
    found: list[Process] = []
    for line in text.splitlines():
        pid, _, command = line.strip().partition(" ")
        program = command.split(" ", 1)[0].rsplit("/", 1)[-1]
        if pid.isdigit() and program in _PROGRAMS:
            found.append(Process(int(pid), program, command.strip()))
    return tuple(found)
