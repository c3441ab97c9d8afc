"""What harness.vm reads from VBoxManage and VBox.log."""

from __future__ import annotations

from typing import Any, cast

import pytest

from harness import containers
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
from harness.vm import VBoxManageFailed, VirtualBox, vm_name
from harness.waiting import WaitTimeout

LOG = """\
VirtualBox VM 7.2.22_Debian r175245 linux.amd64 (Oct 22 2026 07:33:00) release log
00:00:00.334048 VMMDev: Guest Log: BIOS: VirtualBox 7.2.22
00:00:09.092404 VMMDev: Guest Log: boinc-guest: init after 7.43 s
00:00:09.314972 VMMDev: Guest Log: first\x1e
00:00:09.314973 NAT: a line of VirtualBox in between
00:00:09.314974 VMMDev: Guest Log:  and\x1e
00:00:09.314975 VMMDev: Guest Log:  last
01:02:03.500000 VMMDev: Guest Log: a later hour, Guest Log: twice
01:02:04.500000 VMMDev: Guest Log: half a li"""


def test_guest_lines_are_whole_ordered_and_timed() -> None:
    assert guest_lines(LOG) == [
        GuestLine(0.334048, "BIOS: VirtualBox 7.2.22"),
        GuestLine(9.092404, "boinc-guest: init after 7.43 s"),
        GuestLine(9.314972, "first and last"),
        GuestLine(3723.5, "a later hour, Guest Log: twice"),
    ]
    assert guest_lines("") == []
    assert guest_lines("00:00:00.1 VMMDev: Guest Log: no newline") == []
    assert guest_lines("00:00:00.1 VMMDev: Guest Log: goes on\x1e\n") == []


def test_machine_readable() -> None:
    text = 'name="a=b"\nVMState="poweroff"\nmemory=128\n"SATA-0-0"="/x/y.iso"\nuartmode1="server,/tmp/a.console"\nnoise\n'
    assert machine_readable(text) == {
        "name": "a=b",
        "VMState": "poweroff",
        "memory": "128",
        "SATA-0-0": "/x/y.iso",
        "uartmode1": "server,/tmp/a.console",
    }


def test_listings() -> None:
    uuid = "5c8bfba1-2d17-4608-82ef-91396b4655ad"
    assert listed_machines(f'"boinc_0123" {{{uuid}}}\n<inaccessible> {{{uuid}}}\nnoise\n') == (
        Machine("boinc_0123", uuid),
        Machine("<inaccessible>", uuid),
    )
    text = f"UUID:           {uuid}\nParent UUID:    base\nState:          locked write\nLocation:       /a: b/c.vdi\n\n"
    text += "UUID:  2\nLocation: /d\n"
    assert listed_media("hdd", text) == (Medium("hdd", uuid, "/a: b/c.vdi", "locked write"), Medium("hdd", "2", "/d", ""))
    assert listed_media("dvd", "\n") == ()
    text = "1 tini -- x\n 77 /usr/lib/virtualbox/VBoxHeadless --comment a --startvm u\n"
    text += "78 sh -c VBoxSVC\n79 \n80 /usr/lib/virtualbox/VBoxSVC --x\n"
    assert [(process.pid, process.program) for process in listed_processes(text)] == [(77, "VBoxHeadless"), (80, "VBoxSVC")]


def test_the_vm_of_a_result_has_the_name_every_wrapper_gives_it() -> None:
    assert vm_name("abc") == "boinc_900150983cd24fb0"
    assert vm_name("") == "boinc_d41d8cd98f00b204"


def test_leftovers_say_what_is_left() -> None:
    assert not Leftovers((), (), ())
    left = Leftovers(
        (Machine("a", "u"),), (Medium("hdd", "m", "/d.vdi", "inaccessible"),), (Process(5, "VBoxHeadless", "VBoxHeadless --x"),)
    )
    assert left
    assert str(left) == "VM a u; hdd /d.vdi (inaccessible); process 5 VBoxHeadless --x"


class FakeContainer:
    """Answers execute by the words of the call."""

    name = "host1"
    id = "c0ffee"

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def execute(self, words: list[str]) -> Any:
        call = " ".join(words)
        self.calls.append(call)
        code, text = next((answer for start, answer in self.answers.items() if call.startswith(start)), (127, f"no answer for {call}"))
        return code, text.encode()


@pytest.fixture(autouse=True)
def executed_by_the_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "execute", lambda container, words: containers.Executed(*container.execute(words)))


def box(**answers: tuple[int, str]) -> VirtualBox:
    return VirtualBox(cast("Any", FakeContainer({name.replace("_", " "): answer for name, answer in answers.items()})))


def test_an_error_of_vboxmanage_has_its_fields() -> None:
    output = 'VBoxManage: error: Could not find a registered machine named "x"\n'
    output += "VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)\n"
    with pytest.raises(VBoxManageFailed) as raised:
        box(VBoxManage=(1, output)).vm("x").info()
    assert raised.value.error == "VBOX_E_OBJECT_NOT_FOUND"
    assert raised.value.code == 1
    assert raised.value.arguments == ("showvminfo", "x", "--machinereadable")
    assert "showvminfo x" in str(raised.value)
    assert "registered machine" in str(raised.value)


class EndsWhileAsked(FakeContainer):
    """Its machine's session ends in the middle of the first call."""

    def execute(self, words: list[str]) -> Any:
        answer = super().execute(words)
        if len(self.calls) > 1:
            return answer
        said = "VBoxManage: error: The session is not locked (session state: Unlocked)\n"
        return 1, f"{said}VBoxManage: error: Details: code NS_ERROR_UNEXPECTED (0x8000ffff), component SessionWrap\n".encode()


def test_a_machine_that_ends_while_it_is_asked_is_asked_again() -> None:
    container = EndsWhileAsked({"VBoxManage -q showvminfo": (0, 'VMState="poweroff"\n')})
    assert VirtualBox(cast("Any", container)).vm("x").state == "poweroff"
    assert len(container.calls) == 2


def test_waits_say_what_they_saw() -> None:
    machine = VirtualBox(
        cast("Any", FakeContainer({"VBoxManage": (0, 'VMState="running"\nLogFldr="/logs"\nUUID="u-u"\n'), "cat": (0, LOG)}))
    )
    vm = machine.vm("x")
    assert vm.wait_state("poweroff", "running", within=1) == "running"
    assert vm.wait_guest_log("init after", within=1).seconds == 9.092404
    with pytest.raises(WaitTimeout, match="4 lines, the last: 'a later hour"):
        vm.wait_guest_log("never", within=0)
    with pytest.raises(WaitTimeout, match="running"):
        vm.wait_state("saved", within=0)
    with pytest.raises(HarnessError, match="without a serial console"), vm.console():
        pass


def test_what_cannot_be_collected_is_named(tmp_path: Any) -> None:
    machine = VirtualBox(
        cast("Any", FakeContainer({"VBoxManage -q showvminfo": (0, 'LogFldr="/logs"\nVMState="poweroff"\n'), "cat": (0, LOG)}))
    )
    missing = machine.vm("x").collect(tmp_path / "vm")
    assert sorted(path.name for path in (tmp_path / "vm").iterdir()) == ["VBox.log", "guest.log", "showvminfo.txt"]
    assert "9.315 first and last" in (tmp_path / "vm/guest.log").read_text()
    assert len(missing) == 1
    assert missing[0].startswith("screenshot.png of x: VBoxManage in host1 ended with exit code 127")


def test_a_vm_that_is_just_changing_is_asked_again() -> None:
    class Changing(FakeContainer):
        def execute(self, words: list[str]) -> Any:
            self.calls.append(words[0])
            if len(self.calls) < 3:
                return 1, b'VMState="stopping"\nVBoxManage: error: Details: code E_ACCESSDENIED (0x80070005), component SessionMachine\n'
            return 0, b'VMState="poweroff"\n'

    container = Changing({})
    assert VirtualBox(cast("Any", container)).vm("x").state == "poweroff"
    assert len(container.calls) == 3
