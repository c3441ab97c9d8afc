"""The virtual machines on a client, seen from outside: state, screen, serial console, guest log, instruction count, leftovers.

    box = VirtualBox(client.container)
    vm = box.vm(vm_name(result_name))           # as every vboxwrapper names it
    vm.wait_guest_log("step 3", within=60)
    vm.screenshot()                             # PNG

Everything is asked of the container's own VBoxManage, through the engine; nothing needs VirtualBox on this side. What it prints is read
by `harness.vbox_output`.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import docker.errors
import paramiko
from docker.models.containers import Container
from pexpect import socket_pexpect

from harness import containers, engine, ssh
from harness.errors import HarnessError
from harness.vbox_output import (
    GuestLine,
    Leftovers,
    Machine,
    Medium,
    Process,
    guest_lines,
    listed_machines,
    listed_media,
    listed_processes,
    machine_readable,
)
from harness.waiting import Deadline, wait_until

#: seconds between two looks at a guest: each is a process in the container, which takes time from the guest
LOOK = 0.4
#: seconds in which a VM that is starting or stopping has done so
CHANGES_WITHIN = 30.0
#: seconds in which VirtualBox's server has come up again
SERVER_WITHIN = 10.0
_NO_SERVER = "Failed to create the VirtualBox object"

if TYPE_CHECKING:
    _SocketSpawn = socket_pexpect.SocketSpawn[str]
else:
    _SocketSpawn = socket_pexpect.SocketSpawn

_ERROR_CODE = re.compile(r"\b([A-Z][A-Z0-9_]+) \(0x([0-9a-fA-F]{8})\)")
#: what VBoxManage says of a VM that is just starting or stopping; the next call fares better
_CHANGING = (
    *("VBOX_E_VM_ERROR", "VBOX_E_INVALID_OBJECT_STATE", "VBOX_E_INVALID_VM_STATE", "E_ACCESSDENIED"),
    "NS_ERROR_UNEXPECTED",  # the machine's session ended while it was being asked: "The session is not locked"
    "NS_ERROR_ABORT",  # the same, when the machine's process goes
)


class VBoxManageFailed(HarnessError):
    """VBoxManage ended with an error. Fields: `arguments`, `code` (exit code), `error` (such as VBOX_E_OBJECT_NOT_FOUND), `output`."""

    def __init__(self, where: str, arguments: Sequence[str], code: int, output: str) -> None:
        self.arguments = tuple(arguments)
        self.code = code
        self.output = output
        found = _ERROR_CODE.search(output)
        self.error = found[1] if found else ""
        what = f"VBoxManage in {where} ended with exit code {code}" + (f" and {self.error}" if self.error else "")
        super().__init__(what, thing=shlex.join(["VBoxManage", *arguments]), details=output)


def vm_name(result_name: str) -> str:
    """The name of a result's VM (samples/vboxwrapper/vboxwrapper.cpp: of the MD5's hex digits the first 16)."""
    return "boinc_" + hashlib.md5(result_name.encode(), usedforsecurity=False).hexdigest()[:16]


class Console(_SocketSpawn):
    """A serial console, as `pexpect` does consoles: `expect`, `send`, `sendline`, `before`, `after`, all text."""

    def __init__(self, connection: Any, timeout: float) -> None:
        super().__init__(connection, timeout=timeout, encoding="utf-8", codec_errors="replace")
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        """What has come; pexpect 4.9 forgets to decode it for sockets."""
        data: object = super().read_nonblocking(size, timeout)
        return self._text.decode(data) if isinstance(data, bytes) else str(data)


class VirtualBox:
    """The VirtualBox of one running container."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def __repr__(self) -> str:
        return f"<VirtualBox of {self.container.name}>"

    def execute(self, words: Sequence[str]) -> containers.Executed:
        """Run a command in the container."""
        with engine.guard(f"running {words[0]} in {self.container.name}"):
            return containers.execute(self.container, words)

    def manage(self, *arguments: str) -> str:
        """What a VBoxManage call printed. Raises `VBoxManageFailed`."""
        deadline = Deadline(SERVER_WITHIN)
        while True:
            done = self.execute(["VBoxManage", "-q", *arguments])
            if not done.exit_code:
                return done.text
            # VirtualBox's server ends by itself 5 s after its last caller: who comes just then has done nothing yet
            if _NO_SERVER not in done.text or deadline.expired:
                raise VBoxManageFailed(str(self.container.name), arguments, done.exit_code, done.text)
            deadline.pause(LOOK)

    def version(self) -> str:
        """Such as "7.2.22_Debianr175245"."""
        return self.execute(["VBoxManage", "--version"]).text.strip()

    def mode(self) -> tuple[str, str]:
        """("hardware" or "driverless", why), as the container found when it looked at the host."""
        mode, _, why = self.execute(["vbox-mode"]).text.strip().partition(": ")
        return mode, why

    def machines(self) -> tuple[Machine, ...]:
        """The registered VMs."""
        return listed_machines(self.manage("list", "vms"))

    def media(self) -> tuple[Medium, ...]:
        """The registered disk, CD and floppy images."""
        kinds: tuple[tuple[Literal["hdd", "dvd", "floppy"], str], ...] = (("hdd", "hdds"), ("dvd", "dvds"), ("floppy", "floppies"))
        return tuple(medium for kind, listing in kinds for medium in listed_media(kind, self.manage("list", listing)))

    def processes(self) -> tuple[Process, ...]:
        """VirtualBox's processes in the container."""
        script = 'for p in /proc/[0-9]*; do printf "%s " "${p#/proc/}"; tr "\\0" " " < "$p/cmdline" 2>/dev/null; echo; done'
        return listed_processes(self.execute(["sh", "-c", script]).text)

    def leftovers(self) -> Leftovers:
        """What is there that should be gone when no VM job is on the host. Persistent disks are registered while attached only."""
        processes = tuple(process for process in self.processes() if process.program in ("VBoxHeadless", "VBoxNetDHCP", "VBoxNetNAT"))
        return Leftovers(self.machines(), self.media(), processes)

    def wait_clean(self, *, within: Deadline | float = 30.0) -> None:
        """Wait until nothing of any VM is left."""
        last = ""

        def clean() -> bool:
            nonlocal last
            left = self.leftovers()
            last = str(left)
            return not left

        wait_until(clean, f"VirtualBox of {self.container.name} to be left clean", within=within, every=LOOK, last_state=lambda: last)

    def vm(self, name: str) -> Vm:
        """A handle on a VM by its name or UUID; that there is none shows when it is used."""
        return Vm(self, name)

    def wait_vm(self, name: str, *, within: Deadline | float = 60.0) -> Vm:
        """Wait until a VM of that name is registered."""
        wait_until(
            lambda: any(machine.name == name for machine in self.machines()),
            f"a VM named {name} in {self.container.name}",
            within=within,
            every=LOOK,
            last_state=lambda: f"VMs: {[machine.name for machine in self.machines()]}",
        )
        return self.vm(name)


class Vm:
    """One VM of a container."""

    def __init__(self, box: VirtualBox, name: str) -> None:
        self.box = box
        self.name = name
        self._log_path = ""

    def __repr__(self) -> str:
        return f"<Vm {self.name} in {self.box.container.name}>"

    def info(self) -> Mapping[str, str]:
        """All that VirtualBox says of it (`showvminfo --machinereadable`)."""
        found: dict[str, str] = {}
        last = ""

        def asked() -> bool:
            nonlocal found, last
            try:
                found = machine_readable(self.box.manage("showvminfo", self.name, "--machinereadable"))
            except VBoxManageFailed as error:
                if error.error not in _CHANGING:
                    raise
                last = error.error
                return False
            return True

        wait_until(asked, f"VBoxManage to say something of {self!r}", within=CHANGES_WITHIN, every=LOOK, last_state=lambda: last)
        return found

    @property
    def state(self) -> str:
        """One of "running", "paused", "poweroff", "saved", "aborted", "gurumeditation", ..."""
        return self.info().get("VMState", "")

    def wait_state(self, *states: str, within: Deadline | float = 60.0) -> str:
        """Wait for one of some states, and say which it was."""
        return wait_until(
            lambda: found if (found := self.state) in states else None,
            f"{self!r} {' or '.join(states)}",
            within=within,
            every=LOOK,
            last_state=lambda: self.state,
        )

    def process(self) -> Process:
        """The process that runs it. Raises `HarnessError` if none does."""
        uuid = self.info().get("UUID", "")
        for process in self.box.processes():
            if process.program == "VBoxHeadless" and uuid and uuid in process.command_line:
                return process
        raise HarnessError("a VM without a process", thing=f"{self!r}, {self.state}", expected="a running VM")

    # --- its log

    def log(self) -> str:
        """Its VBox.log so far, also after it has ended, as long as the file is there."""
        if not self._log_path:
            self._log_path = f"{self.info()['LogFldr']}/VBox.log"
        done = self.box.execute(["cat", self._log_path])
        if done.exit_code:
            raise HarnessError("a VM without a log", thing=f"{self._log_path} of {self!r}", expected="a VM that was started")
        return done.text

    def guest_log(self) -> list[GuestLine]:
        """What the guest has written so far, whole lines, in order."""
        return guest_lines(self.log())

    def wait_guest_log(self, pattern: str, *, within: Deadline | float = 60.0) -> GuestLine:
        """Wait for a line of the guest in which a regular expression is found."""
        wanted = re.compile(pattern)
        last: list[GuestLine] = []

        def found() -> GuestLine | None:
            nonlocal last
            try:
                last = self.guest_log()
            except HarnessError:  # not started yet
                return None
            return next((line for line in last if wanted.search(line.text)), None)

        return wait_until(
            found,
            f"{self!r} to write {pattern!r}",
            within=within,
            every=LOOK,
            last_state=lambda: f"{len(last)} lines, the last: {last[-1].text!r}" if last else "no line",
        )

    def follow_guest_log(self, *, within: Deadline | float) -> Iterator[GuestLine]:
        """The guest's lines as they come, until the VM is off or time is up."""
        deadline = Deadline.of(within)
        given = 0
        while True:
            over = deadline.expired or self.state not in ("running", "paused", "starting", "stopping")
            lines = self.guest_log()
            yield from lines[given:]
            given = len(lines)
            if over:
                return
            deadline.pause(LOOK)

    # --- looking at the guest and talking to it

    def screenshot(self) -> bytes:
        """Its screen, as a PNG file. The VM has to run or be paused."""
        path = f"/tmp/screenshot-{self.name}.png"
        self.box.manage("controlvm", self.name, "screenshotpng", path)
        code, output = self.box.execute(["sh", "-c", f"cat {shlex.quote(path)} && rm {shlex.quote(path)}"])
        if code or not output.startswith(b"\x89PNG"):
            raise HarnessError("VirtualBox wrote no screenshot", thing=repr(self), details=output[:200].decode("utf-8", "replace"))
        return output

    def instructions(self) -> int:
        """How many instructions the interpreter has executed for it (first virtual CPU); 0 where the host's CPU does it itself."""
        text = self.box.manage("debugvm", self.name, "statistics", "--pattern", "/IEM/CPU0/cInstructions")
        match = re.search(r'val="(\d+)"', text)
        return int(match[1]) if match else 0

    @contextmanager
    def console(self, *, timeout: float = 30.0) -> Iterator[Console]:
        """The serial console, for `expect` and `sendline`; `timeout` is that of each `expect`.

        The VM needs its first serial port in server mode; a container started with BOINC_VBOX_CONSOLE=FOLDER gives it to every VM.
        """
        info = self.info()
        mode, _, path = info.get("uartmode1", "").partition(",")
        if mode != "server" or not path:
            raise HarnessError(
                "a VM without a serial console",
                thing=repr(self),
                expected="uart1 in server mode",
                remedy="start the client with BOINC_VBOX_CONSOLE=/tmp in its environment",
            )
        api = engine.connect().api
        # it waits for a line of ours: what it wrote before the connection is handed over would be lost (see `containers.execute`)
        words = ["sh", "-c", 'read -r line && exec socat -,raw,echo=0 "UNIX-CONNECT:$0"', path]
        with engine.guard(f"connecting to the console of {self.name}"):
            made = api.exec_create(self.box.container.id, words, stdin=True, tty=True)
            stream: Any = api.exec_start(made["Id"], tty=True, socket=True)
        raw = getattr(stream, "_sock", stream)
        raw.sendall(b"\n")
        spawned = Console(raw, timeout)
        try:
            yield spawned
        finally:
            spawned.close()
            stream.close()

    def forward(self, guest_port: int, *, container_port: int) -> None:
        """Make a TCP port of the guest one of the container's (VirtualBox's NAT), while the VM runs."""
        self.box.manage("controlvm", self.name, "natpf1", f"p{container_port},tcp,0.0.0.0,{container_port},,{guest_port}")

    def ssh(
        self, key: ssh.KeyPair, *, network: str | None = None, container_port: int = 2022, within: Deadline | float = 60.0
    ) -> paramiko.SSHClient:
        """Log in to the guest as root; its job has to have asked for `ssh` with that key. The caller closes the connection."""
        self.forward(22, container_port=container_port)
        host, port = engine.address(self.box.container, container_port, network=network)
        return ssh.connect(host, port, key, user="root", within=within)

    # --- what is kept of it

    def collect(self, folder: Path) -> list[str]:
        """Write log, guest log, settings and screenshot into a folder; returns what could not be had, and why."""
        folder.mkdir(parents=True, exist_ok=True)
        missing: list[str] = []

        def part(name: str, content: Callable[[], str | bytes]) -> None:
            try:
                found = content()
            except (HarnessError, docker.errors.DockerException, KeyError) as error:
                missing.append(f"{name} of {self.name}: {error}")
            else:
                (folder / name).write_bytes(found.encode("utf-8", "replace") if isinstance(found, str) else found)

        part("VBox.log", self.log)
        part("guest.log", lambda: "".join(f"{line.seconds:10.3f} {line.text}\n" for line in self.guest_log()))
        part("showvminfo.txt", lambda: "".join(f"{name}={value}\n" for name, value in self.info().items()))
        part("screenshot.png", self.screenshot)
        return missing
