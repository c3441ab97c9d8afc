"""A host without privileges and with VirtualBox, and the guest's boot images on it: VMs without BOINC."""

from __future__ import annotations

import io
import secrets
import shlex
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from docker.models.containers import Container

from harness import containers, engine, images, labels
from harness.vm import VBoxManageFailed, VirtualBox, Vm

HOME = "/var/lib/boinc"
MEDIA = f"{HOME}/guest"


@dataclass
class GuestVm:
    """A VM that boots the guest, and its shared folder on the host."""

    host: Host
    vm: Vm
    shared: str

    def read(self, name: str) -> str:
        return self.host.run("cat", f"{self.shared}/{name}")

    def files(self) -> list[str]:
        return self.host.run("ls", "-A", self.shared).split()

    def end(self, *, within: float = 120) -> None:
        """Wait until it has powered itself off."""
        self.vm.wait_state("poweroff", within=within)

    def lines(self, prefix: str = "") -> list[str]:
        """What the guest wrote after its init's first line, without init's own (or those that begin so)."""
        texts = [line.text for line in self.vm.guest_log()]
        start = next(number for number, text in enumerate(texts) if text.startswith("boinc-guest: init after"))
        own = [text for text in texts[start + 1 :] if text.startswith("boinc-guest: ")]
        return [text for text in own if text.startswith(prefix)] if prefix else [text for text in texts[start + 1 :] if text not in own]

    def remove(self) -> None:
        """Power it off if need be, detach its disks (they are the test's), and forget it."""
        manage = self.host.box.manage
        if self.vm.state not in ("poweroff", "aborted", "saved"):
            self.host.run("VBoxManage", "controlvm", self.vm.name, "poweroff", check=False)  # it may just be ending by itself
            self.vm.wait_state("poweroff", "aborted", within=60)
        if "disks-1-0" in self.vm.info() and self.vm.info()["disks-1-0"] != "none":
            manage("storageattach", self.vm.name, "--storagectl", "disks", "--port", "1", "--device", "0", "--medium", "none")
        manage("unregistervm", self.vm.name, "--delete")
        self.host.run("rm", "-rf", self.shared)


class Host:
    """The container, and making VMs in it as a wrapper would."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.box = VirtualBox(container)
        self._vms: list[GuestVm] = []

    def run(self, *words: str, check: bool = True) -> str:
        done = containers.execute(self.container, words)
        assert done.exit_code == 0 or not check, f"{shlex.join(words)} ended with {done.exit_code}: {done.text}"
        return done.text

    def boot(
        self,
        conf: str = "",
        *,
        files: dict[str, str] | None = None,
        image: str = "boinc-guest.iso",
        memory: int = 128,
        disk: str = "",
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> GuestVm:
        name = f"vm{secrets.token_hex(4)}"
        shared = f"{HOME}/{name}-shared"
        self.run("mkdir", "-p", shared)
        for path, content in {"job.conf": conf, **(files or {})}.items():
            containers.write_file(self.container, f"{shared}/{path}", content.encode(), owner=1000, mode=0o755)
        manage = self.box.manage
        manage("createvm", "--name", name, "--basefolder", f"{HOME}/vms", "--ostype", "Linux26_64", "--register")
        made = GuestVm(self, self.box.vm(name), shared)
        self._vms.append(made)
        usual = ["--memory", str(memory), "--acpi", "on", "--ioapic", "on", "--audio-enabled", "off", "--usb", "off", "--uart1", "off"]
        usual += ["--nic1", "nat", "--cable-connected1", "off", "--boot1", "dvd", "--boot2", "disk"]
        manage("modifyvm", name, *usual, *options)
        manage("storagectl", name, "--name", "disks", "--add", "sata", "--controller", "IntelAHCI", "--portcount", "3")
        kind = "dvddrive" if image.endswith(".iso") else "hdd"
        for port, type_, medium in (("0", kind, f"{MEDIA}/{image}"), *((("1", "hdd", disk),) if disk else ())):
            manage("storageattach", name, "--storagectl", "disks", "--port", port, "--device", "0", "--type", type_, "--medium", medium)
        manage("sharedfolder", "add", name, "--name", "shared", "--hostpath", shared)
        words = ["VBoxManage", "-q", "startvm", name, "--type", "headless"]
        done = containers.execute(self.container, words, environment=environment)
        assert done.exit_code == 0, done.text
        return made

    def disk(self, megabytes: int = 64) -> str:
        path = f"{HOME}/disk-{secrets.token_hex(4)}.vdi"
        self.box.manage("createmedium", "disk", "--filename", path, "--size", str(megabytes))
        return path

    def clean(self) -> None:
        while self._vms:
            made = self._vms.pop()
            try:
                made.remove()
            except VBoxManageFailed as error:
                if error.error != "VBOX_E_OBJECT_NOT_FOUND":
                    raise


@pytest.fixture(scope="session")
def session_host() -> Iterator[Host]:
    """One container for all tests: VirtualBox's start-up is a second, the boot images are 100 MB."""
    with ExitStack() as stack:
        source_name, name = (f"guest-test-{secrets.token_hex(4)}" for _ in range(2))
        stack.callback(containers.remove_quietly, source_name)
        stack.callback(containers.remove_quietly, name)
        source = engine.connect().containers.create(images.ensure("guest"), name=source_name, labels=labels.owner_labels(role="guest"))
        container = engine.connect().containers.create(
            images.ensure("client-vbox"),
            ["sleep", "infinity"],
            entrypoint=["tini", "--"],
            name=name,
            labels=labels.owner_labels(role="client"),
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        container.start()
        stream, _ = source.get_archive("/guest")
        container.put_archive(HOME, _owned(b"".join(stream)))
        yield Host(container)


def _owned(archive: bytes) -> bytes:
    """The same tar, its members owned by the host's user, without what is no boot image."""
    result = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=result, mode="w") as new:
        for member in old:
            if member.isfile() and not member.name.endswith((".iso", ".vdi")):
                continue
            member.uid = member.gid = 1000
            new.addfile(member, old.extractfile(member))
    return result.getvalue()


@pytest.fixture
def host(session_host: Host) -> Iterator[Host]:
    """The host; VMs that a test made are gone at its end."""
    yield session_host
    session_host.clean()
