"""What the host can do for a VM, and who is told."""

from __future__ import annotations

import pytest

from .conftest import TRICKLE_UP, Task

DONE = {"write": ["done", "0\n"]}
BIOS = "VBoxManage: error: VT-x is disabled in the BIOS for all CPU modes (VERR_VMX_MSR_ALL_VMX_DISABLED)"
MARK = "ERR_CPU_VM_EXTENSIONS_DISABLED"


@pytest.mark.parametrize(
    ("output", "words", "is_disabled"),
    [
        (BIOS, "Intel VT-x is switched off on this computer", True),
        ("VBoxManage: error: AMD-V is disabled in the BIOS (VERR_SVM_DISABLED)", "SVM Mode", True),
        ("VBoxManage: error: VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE)", "Another hypervisor", False),
        ("VBoxManage: error: kernel driver not installed (rc=-1908) (VERR_VM_DRIVER_NOT_INSTALLED)", "/dev/vboxdrv", False),
        ("VBoxManage: error: (VERR_VM_DRIVER_VERSION_MISMATCH)", "of another version", False),
    ],
)
def test_a_host_that_cannot_says_why(task: Task, output: str, words: str, is_disabled: bool) -> None:
    task.options["without_acceleration"] = "fail"
    task.fault("startvm", output)
    assert task.run() == 108
    assert words in task.finished()[1]
    assert task.finished()[2] == "notice"
    assert (MARK in task.stderr) is is_disabled, "the mark must be there only if it is true"
    assert task.nothing_left()


def test_by_default_the_task_waits_until_the_host_can(task: Task) -> None:
    task.fault("startvm", BIOS, times=2)
    task.guest(DONE)
    assert task.run() == 0
    assert task.postponed()[0] == "60"
    assert task.postponed()[2] == "notice"
    assert MARK not in task.stderr
    assert "<usable>0</usable>" in (task.slot / "trickle_up.xml").read_text()
    assert "have_new_trickle_up" in task.receive(TRICKLE_UP)
    (task.slot / "trickle_up.xml").unlink()  # the client has sent it
    assert task.run() == 0
    assert len(task.postponed()) == 2, "a notice once, not at every try"
    assert task.run() == 0
    assert task.finished()[0] == "0"
    assert task.nothing_left()


def test_the_first_line_is_what_the_host_can(task: Task) -> None:
    task.driverless(False)
    assert task.run() == 0
    first = task.stderr.splitlines()[0]
    assert task.postponed()[1] in first
    assert task.calls == [], "VirtualBox is not asked for what cannot work"
