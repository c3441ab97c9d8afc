"""Jobs, guests and hosts that are not as they should be: the task ends with an error that says which."""

from __future__ import annotations

import pytest

from .conftest import CONTROL, Task

DONE = {"write": ["done", "0\n"]}


@pytest.mark.parametrize(
    ("job_file", "words"),
    [
        ("<vbox_job><os_name>Linux</os_name><enable_teleport/></vbox_job>", "unknown option <enable_teleport>"),
        (
            "<vbox_job>\n<os_name>Linux</os_name>\n<share_slot_dir/><enable_shared_directory/></vbox_job>",
            "contradicts <enable_shared_directory>",
        ),
        ("not xml at all", "vbox_job.xml, line 1"),
        ("<vbox_job></vbox_job>", "<os_name> is missing"),
    ],
)
def test_a_wrong_job_file(task: Task, job_file: str, words: str) -> None:
    assert task.run(job_file=job_file) == 206
    assert words in task.finished()[1]
    assert task.calls == []


@pytest.mark.parametrize("arguments", [["--sporadic"], ["--frobnicate"], ["--memory_size_mb"], ["--nthreads", "many"]])
def test_a_wrong_command_line(task: Task, arguments: list[str]) -> None:
    assert task.run(*arguments) == 206
    assert arguments[0] in task.finished()[1]


def test_an_image_that_is_none(task: Task) -> None:
    (task.slot / "vm_isocontext.iso").write_text("this is no image")
    assert task.run() == 206
    assert "is no ISO 9660 image" in task.finished()[1]
    task.options.update(enable_isocontextualization=None, boot_iso=None)
    (task.slot / "vm_image.vdi").write_bytes(b"\x5a" * 100000)
    assert task.run() == 206
    assert "is no VDI disk image" in task.finished()[1]
    (task.slot / "vm_image.vdi").unlink()
    assert task.run() == 206
    assert "no such file" in task.finished()[1]


def test_a_shared_folder_that_leads_out_of_the_slot(task: Task) -> None:
    (task.shared / "passwords").symlink_to("/etc/passwd")
    assert task.run() == 206
    assert "passwords -> /etc/passwd" in task.finished()[1]
    (task.shared / "passwords").unlink()
    task.shared.rmdir()
    task.shared.symlink_to("/tmp")
    assert task.run() == 206
    assert "symbolic link to /tmp" in task.finished()[1]
    assert task.calls == []


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"symlink": ["done", "/etc/passwd"]}, "a symbolic link"),
        ({"write": ["done", "all is well\n"]}, "no exit code but 'all is well'"),
        ({"write": ["done", "x" * 70000]}, "too big"),
    ],
)
def test_a_faked_completion_file(task: Task, step: dict[str, object], words: str) -> None:
    task.guest(step, {"wait": 60})
    assert task.run() == 195
    assert words in task.finished()[1]
    assert task.nothing_left()


def test_a_completion_file_from_before_the_machine(task: Task) -> None:
    (task.shared / "done").write_text("0\n")
    assert task.run() == 206
    assert "cannot be the guest's" in task.finished()[1]
    assert task.calls == []


def test_too_many_files_in_the_shared_folder(task: Task) -> None:
    task.options["max_shared_files"] = 500
    task.guest({"files": 1000}, {"wait": 60})
    assert task.run() == 196
    assert "more than 500 files" in task.finished()[1]
    assert task.nothing_left()


def test_a_slot_beyond_its_bound(task: Task) -> None:
    task.client["rsc_disk_bound"] = 3e6
    task.guest({"flood": 60000}, {"wait": 60})
    assert task.run() == 196
    assert "more than the" in task.finished()[1]
    assert task.nothing_left()


def test_more_memory_than_the_host_has(task: Task) -> None:
    task.options["memory_size_mb"] = 2000000
    assert task.run() == 198
    assert "needs 2000000 MB" in task.finished()[1]
    assert task.calls == []


CACHE = 'errorID=BLKCACHE_IOERR message="The I/O cache encountered an error while updating data in medium "ahci-0-1" (rc=%s)."'


@pytest.mark.parametrize("error", ['errorID=DrvVD_DISKFULL message="full"', CACHE % "VERR_DISK_FULL"])
def test_the_hosts_disk_is_full(task: Task, error: str) -> None:
    task.guest({"raw": f"STAMP Console: VM runtime error: fatal=false, {error}\n"}, {"wait": 60})
    for told in ("notice", ""):
        assert task.run() == 0
        delay, reason, *notice = task.postponed()
        assert int(delay) == 600
        assert "This computer's disk is full" in reason
        assert notice == [told] * bool(told), "a notice once, not at every try"
        assert task.nothing_left()

    assert task.run() == 196, "it has been full for too long"
    assert "disk is full: the virtual machine could not write to its disk. It still is after 20 minutes" in task.finished()[1]
    assert task.nothing_left()


def test_a_disk_that_cannot_be_written_for_another_reason(task: Task) -> None:
    task.guest({"raw": f"STAMP Console: VM runtime error: fatal=false, {CACHE % 'VERR_WRITE_ERROR'}\n"}, {"wait": 60})
    assert task.run() == 195
    assert "VERR_WRITE_ERROR" in task.finished()[1]
    assert task.nothing_left()


def test_an_image_that_does_not_boot(task: Task) -> None:
    task.guest({"raw": 'STAMP Console: VM runtime error: fatal=false, errorID=VMBootFail message="The VM failed to boot."\n'}, {"wait": 60})
    assert task.run() == 206
    assert "does not boot" in task.finished()[1]
    assert task.nothing_left()


# --- VirtualBox


def test_virtualbox_is_missing(task: Task) -> None:
    (task.root / "bin" / "VBoxManage").unlink()
    assert task.run() == 0
    assert "VirtualBox is not installed" in task.postponed()[1]
    assert task.postponed()[2] == "notice"
    assert task.run() == 0
    assert len(task.postponed()) == 2, "a notice once, not at every try"


def test_virtualbox_is_too_old(task: Task) -> None:
    task.client["virtualbox_version"] = "6.1.50r161033"
    assert task.run() == 0
    assert "'6.1.50r161033'" in task.postponed()[1]


def test_virtualbox_is_broken_and_then_mended(task: Task) -> None:
    task.fault("createvm", "Segmentation fault", code=139)
    task.guest(DONE)
    assert task.run() == 0
    assert "does not work" in task.postponed()[1]
    assert task.nothing_left()
    assert task.run() == 0
    assert task.finished()[0] == "0"


def test_an_error_that_passes_is_tried_again(task: Task) -> None:
    task.fault("startvm", "VBoxManage: error: Details: code VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)", times=2)
    task.guest(DONE)
    assert task.run() == 0
    assert task.called("startvm") == 3
    assert task.nothing_left()


def test_a_call_that_crashes_at_the_end_leaves_no_machine(task: Task) -> None:
    task.fault("unregistervm", "Segmentation fault", code=139)
    task.guest(DONE)
    assert task.run() == 0
    assert task.called("unregistervm") == 2
    assert task.nothing_left()


def test_an_error_of_the_job_is_not(task: Task) -> None:
    task.fault(
        "createvm",
        "VBoxManage: error: Guest OS type 'Linux26_64' is invalid\nVBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)",
    )
    assert task.run() == 206
    assert "Guest OS type" in task.finished()[1]
    assert task.called("createvm") == 1


def test_a_checkpoint_that_fails_postpones_the_task(task: Task) -> None:
    task.options["minimum_checkpoint_interval"] = 1
    task.client["checkpoint_period"] = 1
    task.fault("snapshot take", "VBoxManage: error: Details: code VBOX_E_FILE_ERROR (0x80bb0004)")
    task.guest({"wait": 60})
    assert task.run() == 0
    assert "no checkpoint could be made" in task.postponed()[1]
    assert task.nothing_left()


def test_a_pause_that_fails_does_not_wedge(task: Task) -> None:
    task.fault("controlvm pause", "VBoxManage: error: Details: code VBOX_E_INVALID_VM_STATE (0x80bb0002)")
    task.guest({"say": "up"}, {"wait": 60})
    task.start()
    task.wait_guest("up")
    task.send(CONTROL, "<suspend/>\n")
    assert task.end() == 0
    assert "cannot be paused" in task.postponed()[1]
    assert task.nothing_left()
