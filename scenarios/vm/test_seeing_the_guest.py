"""What can be seen of a guest while it runs, and what is kept of one that hangs."""

from pathlib import Path

import pytest

from harness.client import Client
from harness.ssh import KeyPair
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)
PNG = b"\x89PNG\r\n\x1a\n"
TALKS = "n=0; while :; do n=$((n + 1)); echo line $n; sleep 1; done"


def test_screen_console_log_ssh_and_instructions(stack: Stack, vm_app: InstallVmApp) -> None:
    client = stack.client(vbox=True, environment={"BOINC_VBOX_CONSOLE": "/tmp"}, attach=True)
    key = KeyPair.generate()
    files = {"shared/authorized_keys": key.public.encode() + b"\n"}
    job = vm_app(enable_network=True).submit(TALKS, conf={"network": "yes", "ssh": "yes"}, files=files)
    vm = client.vm(job, within=VM_DEADLINE)
    vm.wait_guest_log("^line 1$", within=VM_DEADLINE)

    lines = vm.follow_guest_log(within=60)
    assert next(line.text for line in lines if line.text == "line 3")
    assert vm.screenshot().startswith(PNG)
    before = vm.instructions()
    with vm.console(timeout=60) as console:
        console.send("\r")
        console.expect("guest# ")
        console.send("echo $((6 * 7)) in the guest\r")
        console.expect("42 in the guest")
    with vm.ssh(key, within=60) as shell:
        _, output, _ = shell.exec_command("cat /proc/version")
        assert output.read().startswith(b"Linux version 6.")
    assert vm.instructions() > before > 10_000_000
    client.abort(stack.project, job.result.name)


def test_the_evidence_of_a_hung_guest_has_its_screen_and_log(stack: Stack, volunteer: Client, vm_app: InstallVmApp, tmp_path: Path) -> None:
    job = vm_app().submit("echo before it hangs; sleep 3600")
    volunteer.vm(job, within=VM_DEADLINE).wait_guest_log("before it hangs", within=VM_DEADLINE)

    stack.collect_evidence(tmp_path, why="the guest hangs")
    volunteer.abort(stack.project, job.result.name)

    (folder,) = (tmp_path / volunteer.name / "vm").iterdir()
    assert (folder / "screenshot.png").read_bytes().startswith(PNG)
    assert "before it hangs" in (folder / "guest.log").read_text()
    assert "VMState=running" in (folder / "showvminfo.txt").read_text()
    assert "Guest Log: before it hangs" in (folder / "VBox.log").read_text()
