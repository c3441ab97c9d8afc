"""The CPU that a host shows, and the rules of a failing VBoxManage."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.faults.vbox import DRIVER_MISSING, FakeCpu, Rule, fake_cpuinfo

REAL = "\n\n".join(
    f"processor\t: {number}\nvendor_id\t: AuthenticAMD\ncpu MHz\t\t: 2000\nsiblings\t: 2\ncore id\t\t: {number}\ncpu cores\t: 2\n"
    f"apicid\t\t: {number}\n"
    "flags\t\t: fpu vme svm hypervisor lahf_lm\nbugs\t\t: none"
    for number in range(2)
)


def lines(text: str, name: str) -> list[str]:
    return [line.partition(":")[2].strip() for line in text.splitlines() if line.partition(":")[0].strip() == name]


def test_flags_are_shown_hidden_and_left_alone() -> None:
    text = fake_cpuinfo(REAL, flags={"vmx": True, "svm": False, "hypervisor": None})
    assert lines(text, "flags") == ["fpu vme hypervisor lahf_lm vmx"] * 2
    assert lines(text, "vendor_id") == ["AuthenticAMD"] * 2
    assert lines(text, "processor") == ["0", "1"]


def test_every_core_is_of_the_vendor_asked_for() -> None:
    assert lines(fake_cpuinfo(REAL, flags={}, cores=3, vendor="GenuineIntel"), "vendor_id") == ["GenuineIntel"] * 3


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_cores_are_as_many_as_asked(cores: int) -> None:
    text = fake_cpuinfo(REAL, flags={}, cores=cores)
    assert lines(text, "processor") == [str(number) for number in range(cores)]
    assert lines(text, "core id") == [str(number) for number in range(cores)]
    assert lines(text, "cpu cores") == [str(cores)] * cores
    assert lines(text, "siblings") == [str(cores)] * cores
    assert lines(text, "flags") == ["fpu vme svm hypervisor lahf_lm"] * cores
    assert text.endswith("\n\n")


@pytest.mark.parametrize(("real", "cores"), [("", 1), ("model name: ARM", 1), (REAL, 0)])
def test_nonsense_is_refused(real: str, cores: int) -> None:
    with pytest.raises(UsageError):
        fake_cpuinfo(real, flags={}, cores=cores)


def test_the_mount_is_a_file_that_others_can_read(tmp_path: Path) -> None:
    path, volumes = FakeCpu(vmx=True, cores=3).mount(tmp_path)
    assert volumes == {str(path): {"bind": "/proc/cpuinfo", "mode": "ro"}}
    assert path.stat().st_mode & 0o777 == 0o644
    shown = path.read_text()
    assert len(lines(shown, "processor")) == 3
    assert all("vmx" in flags.split() for flags in lines(shown, "flags"))


def test_a_rule_is_a_line_of_five_fields() -> None:
    rule = Rule("f1", "startvm *", "fail", DRIVER_MISSING.output(), 2)
    fields = rule.line().split("\t")
    assert fields[:3] == ["f1", "2", "fail"]
    assert fields[4] == "startvm *"
    assert "\\n" in fields[3]
    assert "(0x80004005)" in fields[3]
    assert Rule("f2", "list", "hang").line() == "f2\t*\thang\t\tlist"


@pytest.mark.parametrize(
    "rule",
    [
        Rule("f-1", "list", "hang"),
        Rule("f1", "a\tb", "hang"),
        Rule("f1", "a\nb", "hang"),
        Rule("f1", "list", "say", "a\tb"),
        Rule("f1", "x", "hang", "", 0),
    ],
)
def test_a_rule_that_cannot_be_written_is_refused(rule: Rule) -> None:
    with pytest.raises(UsageError):
        rule.line()
