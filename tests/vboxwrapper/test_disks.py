"""The disk that outlives jobs, and saved states of booted guests."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from harness.waiting import wait_until

from .conftest import CONTROL, Task

DONE = {"write": ["done", "0\n"]}
DISK = "<name>cache</name><size_mb>8</size_mb>"


def disks(task: Task) -> list[Path]:
    return [path for path in (task.project / "vm_disks").iterdir() if path.is_dir()]


def child_writes(task: Task, block: int, fill: bytes) -> None:
    """What a guest's write does to the child: a block of its own. (The pretended VirtualBox makes copies of an empty image.)"""
    child = disks(task)[0] / "children" / f"{task.name}.vdi"
    data = bytearray(child.read_bytes())
    struct.pack_into("<I", data, 0x4C, 4)
    data[0x188:0x198] = b"C" * 16
    data[0x1A8:0x1B8] = b"U" * 16
    struct.pack_into("<I", data, 0x184, 1)
    struct.pack_into("<I", data, (1 << 20) + 4 * block, 0)
    child.write_bytes(bytes(data) + fill * (1 << 20))


def write_and_finish(task: Task, code: str = "0\n", *, fill: bytes = b"x") -> None:
    task.guest({"say": "up"}, {"await": "go"}, {"write": ["done", code]})
    task.start()
    task.wait_guest("up")
    child_writes(task, 3, fill)
    (task.shared / "go").touch()
    task.end()
    (task.shared / "go").unlink()
    (task.shared / "done").unlink()
    (task.slot / "vm_guest.log").unlink()
    (task.slot / "vbox_checkpoint.xml").unlink()


def test_what_a_job_wrote_is_there_for_the_next(task: Task) -> None:
    task.options["persistent_disk"] = DISK
    write_and_finish(task)
    [disk] = disks(task)
    assert (disk / "base.vdi").read_bytes()[-(1 << 20) :] == b"x" * (1 << 20)
    assert list((disk / "children").iterdir()) == []
    assert task.nothing_left()
    task.guest(DONE)
    assert task.run() == 0
    assert task.called("createmedium disk --filename") == 3, "the base once, a child for each job"
    assert (disk / "base.vdi").stat().st_size == 3 << 20


def test_a_job_that_fails_leaves_the_disk_as_it_was(task: Task) -> None:
    task.options["persistent_disk"] = DISK
    write_and_finish(task, "1\n")
    [disk] = disks(task)
    assert (disk / "base.vdi").stat().st_size == 2 << 20
    assert task.nothing_left()


def test_a_damaged_disk_is_replaced(task: Task) -> None:
    task.options["persistent_disk"] = DISK
    write_and_finish(task)
    base = disks(task)[0] / "base.vdi"
    base.write_bytes(b"garbage" * 1000)
    task.guest(DONE)
    assert task.run() == 0
    assert "is no VDI disk image" in task.stderr
    assert base.read_bytes()[0x40:0x44] == b"\x7f\x10\xda\xbe"


def test_a_disk_that_has_grown_too_big_or_is_unwanted_is_dropped(task: Task) -> None:
    task.options["persistent_disk"] = DISK + "<max_file_mb>2</max_file_mb>"
    write_and_finish(task)
    assert disks(task) == []
    assert "more than the 2 that it may have" in task.stderr
    task.options["persistent_disk"] = DISK + "<discard_file>drop</discard_file>"
    task.guest({"write": ["drop", ""]}, DONE)
    assert task.run() == 0
    assert disks(task) == []


def test_another_image_has_another_disk_and_unused_ones_go(task: Task) -> None:
    task.options["persistent_disk"] = DISK + "<unused_days>1</unused_days>"
    write_and_finish(task)
    [old] = disks(task)
    info = old / "info"
    info.write_text(info.read_text().replace("<last_used>", "<last_used>1"))  # not yet
    with (task.slot / "vm_isocontext.iso").open("ab") as iso:
        iso.write(b"another image")
    task.guest(DONE)
    assert task.run() == 0
    assert len(disks(task)) == 2
    (task.shared / "done").unlink()
    (task.slot / "vbox_checkpoint.xml").unlink()
    info.write_text("<persistent_disk><last_used>1000</last_used><unused_days>1</unused_days></persistent_disk>")
    assert task.run() == 0
    assert old not in disks(task)


def test_a_disk_in_use_is_shared_or_waited_for(task: Task) -> None:
    task.options["persistent_disk"] = DISK
    task.guest(DONE)
    assert task.run() == 0
    (task.shared / "done").unlink()
    (task.slot / "vbox_checkpoint.xml").unlink()
    other = disks(task)[0] / "children" / "boinc_other"
    other.with_suffix(".slot").write_text(str(task.root / "elsewhere"))
    (task.root / "elsewhere" / "boinc_other").mkdir(parents=True)
    other.with_suffix(".vdi").write_bytes(b"")
    write_and_finish(task)
    assert "other task(s) use it at this time" in task.stderr
    assert (disks(task)[0] / "base.vdi").stat().st_size == 2 << 20
    task.options["persistent_disk"] = DISK + "<when_busy>wait</when_busy><wait_timeout>1</wait_timeout>"
    assert task.run() == 0
    assert "has been using the persistent disk" in task.postponed()[1]
    # The other task is gone without a word: what it left is swept.
    (task.root / "elsewhere" / "boinc_other").rmdir()
    os.utime(other.with_suffix(".slot"), (time.time() - 3600, time.time() - 3600))
    task.guest(DONE)
    assert task.run() == 0
    assert not other.with_suffix(".vdi").exists()


def test_a_stopped_task_finds_its_child_again(task: Task) -> None:
    task.options["persistent_disk"] = DISK
    task.guest({"say": "up"}, {"await": "go"}, DONE)
    task.start()
    task.wait_guest("up")
    task.send(CONTROL, "<quit/>\n")
    assert task.end() == 0
    assert len(list((disks(task)[0] / "children").glob("*.vdi"))) == 1
    task.let_go()
    assert task.run() == 0
    assert task.finished()[0] == "0"
    assert list((disks(task)[0] / "children").iterdir()) == []


# --- warm start

WARM = "<ready_file>ready</ready_file><go_file>go</go_file>"
BOOT = ({"say": "booting"}, {"write": ["ready", ""]}, {"await": "go"}, {"say": "job"}, DONE)


def fresh(task: Task) -> None:
    for name in ("ready", "go", "done"):
        (task.shared / name).unlink(missing_ok=True)
    (task.slot / "vbox_checkpoint.xml").unlink()
    (task.slot / "vm_guest.log").unlink()


def test_the_second_job_goes_on_from_a_booted_guest(task: Task) -> None:
    task.options["warm_start"] = WARM
    task.guest(*BOOT)
    assert task.run() == 0
    assert task.guest_log == ["booting", "job"]
    [template] = (task.project / "vm_warm").glob("*.sav")
    assert task.nothing_left()
    fresh(task)
    task.guest({"await": "go"}, {"say": "job"}, DONE)  # where a resumed guest is
    assert task.run() == 0
    assert task.called("adoptstate") == 1
    assert task.guest_log == ["job"]
    assert float((task.shared / "go").read_text()) > 1e9
    assert template.exists()
    assert task.nothing_left()


def test_a_damaged_saved_state_is_dropped_and_the_guest_boots(task: Task) -> None:
    task.options["warm_start"] = WARM
    task.guest(*BOOT)
    assert task.run() == 0
    [template] = (task.project / "vm_warm").glob("*.sav")
    template.write_text("damaged")
    fresh(task)
    assert task.run() == 0
    assert "is dropped" in task.stderr
    assert task.guest_log == ["booting", "job"]
    assert template.read_text() == "saved"


def test_another_configuration_has_another_saved_state(task: Task) -> None:
    task.options["warm_start"] = WARM
    task.guest(*BOOT)
    assert task.run() == 0
    fresh(task)
    task.options["memory_size_mb"] = 24
    assert task.run() == 0
    assert task.called("adoptstate") == 0
    wait_until(lambda: len(list((task.project / "vm_warm").glob("*.sav"))) == 2, "a second saved state", within=1)
