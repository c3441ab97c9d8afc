"""The Manager beside a client, without an engine: passwords, addresses, and what is said when one of the two goes."""

from typing import Any, cast

import docker.errors
import pytest
from click.testing import CliRunner

from harness import manager, running
from harness.cli import cli
from harness.errors import HarnessError
from harness.manager import ManagerGone, ManagerPage
from harness.versions import ClientVersion


class FakeContainer:
    """A container whose state changes at each look."""

    def __init__(self, *states: str, image: str = "boinc-harness/client:sid-0123456789ab") -> None:
        self.name = "stack-host1"
        self.attrs: dict[str, Any] = {"Config": {"Image": image}, "NetworkSettings": {"Networks": {}}, "State": {}}
        self._states = list(states)
        self.status = states[0]

    def reload(self) -> None:
        self.status = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if self.status == "gone":
            raise docker.errors.NotFound("gone")


def watch(page: FakeContainer, client: FakeContainer) -> list[str]:
    said: list[str] = []
    try:
        manager.watch(ManagerPage(cast(Any, page), "x"), cast(Any, client), "host1", said.append)
    except ManagerGone as error:
        said.append(str(error))
    return said


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "LOOK", 0.001)
    monkeypatch.setattr(manager, "LONGEST", 2.0)


def test_a_client_that_ends_and_comes_back_is_told_of_each_time() -> None:
    said = watch(FakeContainer("running"), FakeContainer("running", "exited", "exited", "running", "running", "gone"))
    assert [line.partition(";")[0].splitlines()[0] for line in said] == [
        "host1 has ended",
        "host1 runs again",
        "the client was removed while its Manager was open: host1",
    ]


@pytest.mark.parametrize(("state", "remedy"), [("gone", "open it again"), ("exited", "docker logs stack-host1")])
def test_a_manager_that_ends_says_what_to_do(state: str, remedy: str) -> None:
    [message] = watch(FakeContainer("running", state), FakeContainer("running"))
    assert "the Manager ended: host1" in message
    assert remedy in message


def test_a_manager_needs_a_client_that_runs() -> None:
    with pytest.raises(HarnessError, match="it is exited"):
        manager.open_beside(cast(Any, FakeContainer("exited")), gui_rpc_password="x")


def test_passwords_are_as_long_as_vnc_reads_them_and_never_the_same() -> None:
    made = {manager.new_password() for _ in range(100)}
    assert len(made) == 100
    assert {len(password) for password in made} == {8}


def test_the_password_is_behind_the_hash_where_no_server_sees_it() -> None:
    container = FakeContainer("running")
    container.attrs["NetworkSettings"] = {
        "Networks": {"volunteers": {"IPAddress": "172.30.0.2"}},
        "Ports": {"6080/tcp": [{"HostPort": "1"}]},
    }
    page = ManagerPage(cast(Any, container), "a-secret")
    before, _, after = page.url.partition("#")
    assert "a-secret" not in before
    assert "password=a-secret" in after
    assert page.page == before


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("boinc-harness/client:bookworm-7493d9e191e1", ClientVersion.V7_20),
        ("boinc-harness/client:trixie-9c0cd174a385", ClientVersion.V8_0),
        ("boinc-harness/client-vbox:1b09dabcb907", ClientVersion.V8_2),
        ("somebody/else", ClientVersion.V8_2),
    ],
)
def test_the_manager_is_of_the_clients_generation(image: str, version: ClientVersion) -> None:
    assert manager.generation_of(cast(Any, FakeContainer("running", image=image))) is version


def test_a_client_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "stacks", list)
    result = CliRunner().invoke(cli, ["gui", "host7"])
    assert isinstance(result.exception, HarnessError)
    assert "no such client is running: host7" in str(result.exception)
    assert "harness up" in str(result.exception)
