"""The client image's VirtualBox: which mode it takes, its VBoxManage, its settings, faults on demand."""

from __future__ import annotations

import re

import pytest

from harness import containers, engine, images, labels
from harness.faults.vbox import INVALID_OBJECT_STATE, Rule, VBoxFaults
from harness.vbox_output import guest_lines
from harness.vm import VBoxManageFailed
from harness.waiting import wait_until
from tests.guest.conftest import HOME, Host

pytestmark = [pytest.mark.engine, pytest.mark.vm, pytest.mark.timeout(300)]

NO_DEVICE = "/dev/does-not-exist"


def mode(host: Host, device: str, version: str, *, user: str = "boinc") -> str:
    """What vbox-mode says with these in the place of the host's device and driver version."""
    host.run("sh", "-c", f"printf '%s' '{version}' > /tmp/driver-version")
    environment = {"BOINC_VBOX_DEVICE": device, "BOINC_VBOX_MODULE_VERSION": "/tmp/driver-version" if version else "/nowhere"}
    code, output = containers.execute(host.container, ["vbox-mode"], environment=environment, user=user)
    assert code == 0
    return output.decode().strip()


def end_server(host: Host) -> None:
    """Let VirtualBox's server end, which would serve its own settings directory to whoever comes with another one."""

    def gone() -> bool:
        servers = [str(process.pid) for process in host.box.processes() if process.program == "VBoxSVC"]
        if servers:
            host.run("kill", *servers, check=False)
        return not servers

    wait_until(gone, "VBoxSVC to end", within=30)


def test_the_mode_follows_the_host(host: Host) -> None:
    same = host.run("printenv", "VBOX_VERSION").strip()
    driver = f"{same}_Debian r175245 (0x00390000)"
    assert mode(host, NO_DEVICE, driver) == f"driverless: {NO_DEVICE} is not in this container"
    assert mode(host, "/etc/passwd", driver) == "driverless: /etc/passwd is no device"
    assert mode(host, "/dev/null", "") == "driverless: the host's driver tells no version in /nowhere"
    wrong = mode(host, "/dev/null", "7.0.20_Debian r163906 (0x00330004)")
    assert wrong == f"driverless: version mismatch: the host's driver is 7.0.20, VirtualBox here is {same}; they must be the same"
    assert mode(host, "/dev/null", driver).startswith(f"driverless: the host's driver {same} fits, but only root may start VMs with it")
    assert mode(host, "/dev/null", driver, user="root") == f"hardware: the host's driver is {same}, as VirtualBox here"


def test_vboxmanage_prints_the_version_and_nothing_else(host: Host) -> None:
    assert re.fullmatch(rf"{re.escape(host.run('printenv', 'VBOX_VERSION').strip())}_Debianr\d+\n", host.run("VBoxManage", "--version"))


def test_vboxmanage_ends_when_it_is_done(host: Host) -> None:
    """VirtualBox's own takes ten seconds to end, once in fifty calls on a busy machine."""
    script = "for n in $(seq 150); do timeout 9 VBoxManage -q list hdds || exit 1; done; VBoxManage -q showvminfo none 2>&1; echo $?"
    assert host.run("sh", "-c", script).endswith("\n1\n"), "nor is its exit code lost"


def test_virtualbox_lives_in_real_time(host: Host) -> None:
    """Its host time, asked for by a process that lives ten years ahead."""
    environment = {"LD_PRELOAD": "/usr/local/lib/libfaketime.so", "FAKETIME": "+3650d"}
    code, output = containers.execute(host.container, ["sh", "-c", "date +%Y; VBoxManage list hostinfo"], environment=environment)
    assert code == 0
    years = re.search(r"^(\d+)\n(?s:.*)Host time: (\d+)-", output.decode())
    assert years is not None
    assert int(years[1]) - int(years[2]) in (9, 10)


def test_a_home_of_ones_own_is_made_ready_on_first_use(host: Host) -> None:
    home = f"{HOME}/another/home"
    host.run("env", f"VBOX_USER_HOME={home}", "VBoxManage", "--version")
    settings = host.run("cat", f"{home}/VirtualBox.xml")
    assert 'name="VBoxInternal/HM/FallbackToIEM" value="1"' in settings
    assert 'name="VBoxInternal/EM/IemExecutesAll" value="1"' in settings
    host.run("sh", "-c", f"echo mine > {home}/VirtualBox.xml")
    host.run("env", f"VBOX_USER_HOME={home}", "VBoxManage", "--version")
    assert host.run("cat", f"{home}/VirtualBox.xml") == "mine\n"


def test_virtualbox_keeps_the_settings(host: Host) -> None:
    assert host.box.manage("getextradata", "global", "VBoxInternal/EM/IemExecutesAll").strip() == "Value: 1"


def test_the_stand_in_refuses_another_version_by_name(host: Host) -> None:
    """A runtime that says it is another version, in the place of VBoxRT.so."""
    library = host.run("sh", "-c", "strings -n 5 /usr/lib/virtualbox/VBoxHeadless 2>/dev/null || cat /usr/lib/virtualbox/VBoxHeadless")
    assert "the driverless mode was verified with 7.2.22 only" in library


def test_faults_strike_the_named_calls_as_often_as_said(host: Host) -> None:
    faults = VBoxFaults(host.container)
    twice = Rule("twice", "list host*", "fail", INVALID_OBJECT_STATE.output(), 2)
    version = Rule("version", "--version", "say", "6.1.0r140961")
    faults.write([twice, version])
    try:
        for _ in range(2):
            with pytest.raises(VBoxManageFailed) as raised:
                host.box.manage("list", "hostinfo")
            assert raised.value.error == "VBOX_E_INVALID_OBJECT_STATE"
        assert "Processor count" in host.box.manage("list", "hostinfo")
        assert host.box.manage("list", "vms") is not None
        assert host.box.version() == "6.1.0r140961"
        assert faults.struck(twice) == ["-q list hostinfo", "-q list hostinfo"]
        assert faults.struck(version) == ["--version"]
    finally:
        faults.write([])
    assert host.box.version().startswith("7.2.22_")


def test_a_call_can_hang_and_be_slow(host: Host) -> None:
    faults = VBoxFaults(host.container)
    faults.write([Rule("hang", "list ostypes", "hang"), Rule("slow", "--version", "slow", "1.5", 1)])
    try:
        assert containers.execute(host.container, ["timeout", "1", "VBoxManage", "list", "ostypes"])[0] == 124
        spent = host.run("sh", "-c", "a=$(date +%s%N); VBoxManage --version >/dev/null; b=$(date +%s%N); echo $(((b - a) / 1000000))")
        assert 1500 <= int(spent) < 10_000
    finally:
        faults.write([])


def test_the_self_test_passes_and_can_fail(host: Host) -> None:
    end_server(host)
    assert "boots a guest driverless" in host.run("env", f"HOME={HOME}", "vbox-selftest")
    code, output = containers.execute(host.container, ["vbox-selftest"], environment={"VBOX_VERSION": "7.2.99"})
    assert code == 1
    assert b"expected 7.2.99" in output


def test_two_settings_of_an_older_home_are_added_at_the_first_vm(host: Host) -> None:
    """A home that VirtualBox made by itself: the stand-in sets what is missing, and the VM runs."""
    end_server(host)
    home = f"{HOME}/older"
    script = f"""set -e
export VBOX_USER_HOME={home} USER=older HOME={home}
M=/usr/lib/virtualbox/VBoxManage
$M -q createvm --name older --basefolder {home} --ostype Other_64 --register >/dev/null
$M -q modifyvm older --memory 16 --nic1 none --audio-enabled off --usb off
VBoxManage -q startvm older --type headless
$M -q controlvm older poweroff
$M -q getextradata global VBoxInternal/EM/IemExecutesAll
"""
    assert "Value: 1" in host.run("sh", "-c", script)
    log = host.run("cat", f"{home}/older/Logs/VBox.log")
    assert guest_lines(log)
    assert "fIemExecutesAll=true" in log


def test_with_a_fitting_driver_the_stock_program_takes_over() -> None:
    """As far as it goes without one: it looks for the driver itself, and is in its own place from then on."""
    script = """printf '%s_Debian r1' "$VBOX_VERSION" > /tmp/version
VBoxHeadless --help
cmp /usr/lib/virtualbox/VBoxHeadless /usr/lib/virtualbox/VBoxHeadless-hardened && echo the stock one
"""
    output = engine.connect().containers.run(
        images.ensure("client-vbox"),
        ["-c", script],
        entrypoint="sh",
        user="root",
        environment={"BOINC_VBOX_DEVICE": "/dev/null", "BOINC_VBOX_MODULE_VERSION": "/tmp/version"},
        labels=labels.owner_labels(role="client"),
        network_mode="none",
        remove=True,
        stderr=True,
    )
    assert "Kernel driver not installed" in output.decode()
    assert "the stock one" in output.decode()
