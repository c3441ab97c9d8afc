"""What scenarios share, without an engine: its parts start once, or fail once."""

import pytest

from harness import containers
from harness.errors import HarnessError
from harness.rig import Rig, RigLeak


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


def test_a_container_that_stays_is_told_before_the_network_that_stays_with_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def stays(name: str) -> None:
        raise ConnectionError(f"{name} was not removed")

    def has_endpoints() -> None:
        raise OSError("the network has active endpoints")

    monkeypatch.setattr(containers, "remove_quietly", stays)
    rig.remove_later("host1")
    rig._cleanup.callback(has_endpoints)
    with pytest.raises(RigLeak, match="host1 was not removed") as caught:
        rig.close()
    assert "active endpoints" in str(caught.value.__context__)
