"""The guest in a driverless VirtualBox, in a container without privileges: what images/guest/README.md promises."""

from __future__ import annotations

import re
import struct
import zlib

import pytest

from harness.vm import VBoxManageFailed
from harness.waiting import wait_until
from tests.guest.conftest import HOME, Host

pytestmark = [pytest.mark.engine, pytest.mark.vm, pytest.mark.timeout(600)]

#: what a driverless VirtualBox does in 10 s on a quiet 2-core machine; a count does not depend on who else is busy
INSTRUCTIONS_TO_INIT = 75_000_000


def test_the_host_has_no_privileges(host: Host) -> None:
    status = host.run("cat", "/proc/self/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert host.run("id", "-u").strip() == "1000"
    assert host.run("sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null || true") == ""


def test_a_job_runs_reports_and_powers_off(host: Host) -> None:
    script = '#!/bin/sh\necho "hello $1 $2"\nmkdir results\necho data > results/out\ntr a-z A-Z < in > out\nexit 3\n'
    guest = host.boot(files={"boinc_app": script, "cmdline": "'two words' three", "in": "input\n"})
    guest.end()
    assert guest.lines() == ["hello two words three"]
    assert guest.read("completion_trigger_file") == "3\n0\n\n"
    assert guest.read("out") == "INPUT\n"
    assert host.run("tar", "-xzOf", f"{guest.shared}/results.tgz", "./out") == "data\n"
    assert re.fullmatch(r"[1-9]\d* \d+\.\d\d\n", guest.read("heartbeat"))
    assert guest.lines("boinc-guest: ")[-1].startswith("boinc-guest: job ended with exit code 3 after ")


def test_init_is_reached_within_its_instructions(host: Host) -> None:
    guest = host.boot("command=sleep 600")
    line = guest.vm.wait_guest_log("boinc-guest: init after", within=120)
    executed = guest.vm.instructions()
    print(f"/init after {line.seconds:.1f} s and at most {executed / 1e6:.0f} M instructions")
    assert 10_000_000 < executed <= INSTRUCTIONS_TO_INIT


def test_ten_thousand_lines_arrive_once_and_in_order(host: Host) -> None:
    guest = host.boot('command=awk \'BEGIN{for(i=0;i<10000;i++) print "line " i " of many, about as long as log lines usually are"}\'')
    guest.end(within=400)
    assert guest.lines() == [f"line {number} of many, about as long as log lines usually are" for number in range(10_000)]


def test_lines_of_every_shape_arrive_whole(host: Host) -> None:
    long = "x" * 1500 + "äöü" * 300
    wanted = [" ", "crlf", "over written", "?? bytes", "tab\there", long, "on stderr", "äöü", "no newline at the end"]
    content = "\ncrlf\r\nover\rwritten\n\0\x1e bytes\ntab\there\n" + long + "\n"
    guest = host.boot("command=cat text; echo 'on stderr' >&2; echo äöü; printf 'no newline at the end'", files={"text": content})
    guest.end()
    assert guest.lines() == wanted


def test_output_of_a_killed_job_and_its_signal(host: Host) -> None:
    guest = host.boot("command=echo before; kill -9 $$; echo after")
    guest.end()
    assert guest.lines() == ["before"]
    assert guest.read("completion_trigger_file").startswith("137\n")


def test_a_job_that_floods_is_cut_off_and_counted(host: Host) -> None:
    guest = host.boot("log_limit_mb=1\ncommand=yes 'a line of the flood, which is some sixty characters long or so' | head -n 40000")
    guest.end(within=300)
    sent = len(guest.lines())
    said = re.search(r"(\d+) lines were not sent", "\n".join(guest.lines("boinc-guest: the job's output passed its limit")))
    assert said is not None
    assert sent + int(said[1]) == 40000
    assert 10_000 < sent < 20_000


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("colour=blue", "job.conf line 1: unknown option 'colour'"),
        ("# fine\nnetwork=perhaps", "job.conf line 2: 'network' is 'perhaps', expected yes, no or auto"),
        ("just words", "job.conf line 1: 'just words' is no KEY=VALUE"),
        ("completion_file=../escape", "job.conf line 1: 'completion_file' is '../escape', expected a file name"),
    ],
)
def test_a_wrong_job_conf_is_refused_by_name(host: Host, conf: str, message: str) -> None:
    guest = host.boot(conf)
    guest.end()
    assert guest.lines("boinc-guest: job.conf") == [f"boinc-guest: {message}"]
    assert guest.read("completion_trigger_file").startswith("70\n0\nthe guest does not understand job.conf")


def test_the_disk_image_boots_as_the_iso_does(host: Host) -> None:
    guest = host.boot("command=cat /proc/cmdline", image="boinc-guest.vdi")
    guest.end()
    assert "acpi=off" in guest.lines()[0]
    assert guest.read("completion_trigger_file").startswith("0\n")


def test_with_acpi_the_power_button_ends_the_job(host: Host) -> None:
    guest = host.boot("command=trap 'echo asked; exit 9' TERM; echo waiting; while :; do sleep 1; done", image="boinc-guest-acpi.iso")
    guest.vm.wait_guest_log("waiting", within=180)
    host.box.manage("controlvm", guest.vm.name, "acpipowerbutton")
    guest.end()
    assert [line for line in guest.lines() if line != "Terminated"] == ["waiting", "asked"]  # its `sleep` is told, too
    assert guest.read("completion_trigger_file").startswith("9\n")
    assert "boinc-guest: the power button was pressed: ending the job" in guest.lines("boinc-guest: ")


def test_a_persistent_disk_survives_its_vm(host: Host) -> None:
    disk = host.disk(256)
    first = host.boot("command=echo kept > /persistent/file; mkdir /persistent/layers", disk=disk)
    first.end()
    assert any("formatted" in line for line in first.lines("boinc-guest: persistent disk"))
    first.remove()
    second = host.boot("command=ls /persistent; cat /persistent/file", disk=disk)
    second.end()
    assert second.lines() == ["file", "layers", "lost+found", "kept"]
    assert not any("formatted" in line for line in second.lines("boinc-guest: persistent disk"))


def test_a_persistent_disk_survives_a_power_cut(host: Host) -> None:
    disk = host.disk(256)
    first = host.boot("command=echo kept > /persistent/file; sync; echo written; sleep 600", disk=disk)
    first.vm.wait_guest_log("^written", within=180)
    host.run("kill", "-9", str(first.vm.process().pid))
    first.vm.wait_state("aborted", within=30)
    first.remove()
    second = host.boot("command=cat /persistent/file", disk=disk)
    second.end()
    assert second.lines() == ["kept"]


def test_a_disk_with_something_else_on_it_is_left_alone(host: Host) -> None:
    host.run("sh", "-c", f"yes precious | head -c 8388608 > {HOME}/precious.raw")
    host.box.manage("convertfromraw", f"{HOME}/precious.raw", f"{HOME}/precious.vdi")
    guest = host.boot("command=echo never", disk=f"{HOME}/precious.vdi")
    guest.end()
    assert guest.lines() == []
    assert guest.read("completion_trigger_file").startswith("70\n0\nthe persistent disk cannot be used")
    assert "holds something that is no ext4" in guest.lines("boinc-guest: persistent disk")[0]


def test_a_damaged_disk_is_replaced(host: Host) -> None:
    host.run(
        "sh",
        "-c",
        f"head -c 8388608 /dev/urandom > {HOME}/damaged.raw; printf '\\123\\357' | dd of={HOME}/damaged.raw bs=1 seek=1080 conv=notrunc",
    )
    host.box.manage("convertfromraw", f"{HOME}/damaged.raw", f"{HOME}/damaged.vdi")
    guest = host.boot("command=echo works > /persistent/a; cat /persistent/a", disk=f"{HOME}/damaged.vdi")
    guest.end(within=200)
    assert guest.lines() == ["works"]
    assert any("beyond repair" in line for line in guest.lines("boinc-guest: persistent disk"))


def test_a_job_keeps_its_open_files_in_a_guest_that_goes_on_from_a_snapshot(host: Host) -> None:
    """VirtualBox forgets a guest's handles of shared files then; the guest's kernel used to try such a write again for ever."""
    begin, rest = "first\n", "".join(f"line {number}\n" for number in range(40_000))
    job = "exec 3>out 4<in; read -r line <&4; echo $line >&3; echo ready; until [ -e go ]; do sleep 0.2; done; cat <&4 >&3; echo last >&3"
    guest = host.boot(f"command={job}", files={"in": begin + rest})
    guest.vm.wait_guest_log("^ready$", within=120)
    host.box.manage("snapshot", guest.vm.name, "take", "one")
    host.run("kill", "-KILL", str(guest.vm.process().pid))
    guest.vm.wait_state("aborted", within=60)

    host.box.manage("snapshot", guest.vm.name, "restorecurrent")
    host.box.manage("startvm", guest.vm.name, "--type", "headless")
    host.run("touch", f"{guest.shared}/go")

    guest.end()
    assert guest.read("completion_trigger_file") == "0\n0\n\n"
    assert guest.read("out") == f"{begin}{rest}last\n"


def test_a_panic_is_seen_as_a_crash(host: Host) -> None:
    guest = host.boot("command=echo c > /proc/sysrq-trigger")
    assert guest.vm.wait_state("gurumeditation", "poweroff", "aborted", within=120) == "gurumeditation"
    assert "completion_trigger_file" not in guest.files()


def test_the_network_comes_up_when_the_cable_is_in(host: Host) -> None:
    guest = host.boot("network=yes\ncommand=ip -4 -o addr show eth0; ip route", options=("--cable-connected1", "on"))
    guest.end(within=200)
    assert "inet 10.0.2.15/24" in guest.lines()[0]
    assert any(line.startswith("default via 10.0.2.2") for line in guest.lines())


def test_without_a_cable_there_is_no_network(host: Host) -> None:
    guest = host.boot("command=sleep 3; ip -4 -o addr show eth0; echo end")
    guest.end()
    assert guest.lines() == ["end"]
    refused = host.boot("network=yes\ncommand=echo never")
    refused.end()
    assert refused.lines() == []
    assert refused.read("completion_trigger_file").startswith("70\n0\nthe job asks for a network and there is none")


def test_the_console_gives_a_shell_and_the_screen_a_picture(host: Host) -> None:
    guest = host.boot("command=echo started; sleep 600", environment={"BOINC_VBOX_CONSOLE": "/tmp"})
    guest.vm.wait_guest_log("^started", within=180)
    with guest.vm.console(timeout=60) as console:
        console.send("\r")
        console.expect("guest# ")
        console.send("echo $((6 * 7)) from the shell\r")
        console.expect("42 from the shell")
    text = "a VM whose screen shows the guest's log"
    wait_until(lambda: lit(guest.vm.screenshot()) > 200, text, within=30, every=0.5, last_state=lambda: f"{lit(guest.vm.screenshot())} lit")


def lit(png: bytes) -> int:
    """How many bytes of a picture are not black, whatever row filter it has: a filter makes nothing of rows that are all black."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    position, packed, width, channels = 8, b"", 0, 0
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        kind, content = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, depth, colours = struct.unpack(">I4xBB3x", content)
            assert depth == 8
            channels = {0: 1, 2: 3, 6: 4}[colours]
        packed += content if kind == b"IDAT" else b""
        position += 12 + length
    rows, stride = zlib.decompress(packed), 1 + width * channels
    return sum(len(row) - row.count(0) for row in (rows[start + 1 : start + stride] for start in range(0, len(rows), stride)))


def test_containers_run_in_the_guest(host: Host) -> None:
    script = """#!/bin/sh -e
mkdir -p /tmp/c/rootfs/bin /tmp/c/rootfs/proc
cp /bin/busybox /tmp/c/rootfs/bin/sh
cd /tmp/c
crun spec
sed -i 's/"terminal": true/"terminal": false/; s|"sh"|"sh", "-c", "echo in a container as pid $$"|' config.json
crun run one
"""
    guest = host.boot("tools=yes", files={"boinc_app": script})
    guest.end(within=200)
    assert guest.lines()[-1:] == ["in a container as pid 1"]
    assert guest.read("completion_trigger_file").startswith("0\n")


def test_a_vm_leaves_nothing(host: Host) -> None:
    guest = host.boot("command=true")
    guest.end()
    guest.remove()
    left = host.box.leftovers()
    assert left.machines == ()
    assert left.processes == ()
    with pytest.raises(VBoxManageFailed) as raised:
        guest.vm.info()
    assert raised.value.error == "VBOX_E_OBJECT_NOT_FOUND"
