"""Files that stay on a host when their task is gone."""

import pytest

from harness import JobState, script_app
from harness.client import Client
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

pytestmark = pytest.mark.virtual_time(reason="it skips hours")

HOUR = 3600.0


def kept(client: Client, prefix: str) -> list[str]:
    """The files in the project's folder whose names begin so."""
    return [path for path in client.files("projects") if path.rpartition("/")[2].startswith(prefix)]


def finish(stack: Stack, client: Client, content: bytes = b"data") -> None:
    """One job of "reader", until the client has forgotten it."""
    stack.project.submit("reader", input=content).wait_for(JobState.ASSIMILATED)
    wait_until(lambda: client.tasks() == (), "the task gone", within=30)


def test_a_sticky_input_is_downloaded_once_and_an_ordinary_one_goes(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"])
    finish(stack, client)
    wait_until(lambda: not kept(client, "in_"), "the ordinary input gone", within=30)

    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"], input_info="<sticky/>")
    for _ in range(2):
        finish(stack, client, b"sticky data")

    assert len(kept(client, "in_")) == 1
    [name] = kept(client, "in_")
    assert len(stack.history.find("download.done", name=name.rpartition("/")[2])) == 1


def test_a_sticky_output_stays_after_its_upload(stack: Stack) -> None:
    client = stack.client(attach=True)
    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"], output_info="<sticky/>")

    finish(stack, client)

    [output] = [path for path in kept(client, "reader_") if "_r" in path]
    assert client.exec(["cat", f"{client.DATA_DIRECTORY}/projects/{output}"]) == "data"


def test_the_project_can_have_a_sticky_file_deleted(stack: Stack) -> None:
    client = stack.client(attach=True)
    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"], input_info="<sticky/>")
    finish(stack, client)
    assert len(kept(client, "in_")) == 1

    stack.project.configure(do_file_delete_regex="in_.*")
    client.update(stack.project)

    wait_until(lambda: not kept(client, "in_"), "the file gone", within=30)


def test_a_sticky_file_goes_when_its_lifetime_is_over(stack: Stack) -> None:
    client = stack.client(attach=True)
    lifetime = "<sticky/>\n<sticky_lifetime>7200</sticky_lifetime>"
    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"], input_info=lifetime)
    finish(stack, client)

    stack.clock.skip(HOUR)
    assert len(kept(client, "in_")) == 1, "it is younger"
    stack.clock.skip(2 * HOUR)

    wait_until(lambda: not kept(client, "in_"), "the file gone", within=30)
