"""What scenarios share, without an engine: its parts start once, or fail once."""

import pytest

from harness.errors import HarnessError
from harness.rig import Rig


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(Rig, "networks", lambda self: None)
    return Rig(name="test")


def test_a_part_starts_once(rig: Rig) -> None:
    started: list[str] = []

    def start() -> str:
        started.append("server")
        return "the server"

    assert rig._once("server", start) == "the server"
    assert rig._once("server", start) == "the server"
    assert started == ["server"]


def test_a_part_that_failed_fails_everybody_at_once_with_the_same_words(rig: Rig) -> None:
    tries: list[str] = []

    def start() -> str:
        tries.append("server")
        raise HarnessError("the server ended", thing="boinc.test")

    for _ in range(3):
        with pytest.raises(HarnessError, match=r"boinc\.test"):
            rig._once("server", start)
    assert tries == ["server"], "a broken rig is not tried again for each scenario"
