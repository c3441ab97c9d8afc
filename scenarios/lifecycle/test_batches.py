"""Batches of jobs that a scientist submits from afar (html/user/submit_rpc_handler.php)."""

import re

import httpx
import pytest

from harness.project.base import Account
from harness.stack import Stack
from harness.waiting import wait_until


class Scientist:
    """Somebody who may submit jobs, with the remote procedure calls for it."""

    def __init__(self, stack: Stack) -> None:
        self.page = stack.page(stack.project)
        self.account: Account = stack.project.create_account(stack.project.address("sue"), "scientist", "Sue")
        stack.project.allow_submission(self.account)
        stack.project.install_app("uppercase")
        stack.project.install_app("sleeper")

    def __call__(self, command: str, inner: str) -> str:
        request = f"<{command}><authenticator>{self.account.authenticator}</authenticator>{inner}</{command}>"
        reply = httpx.post(f"{self.page}submit_rpc_handler.php", data={"request": request}, trust_env=False).text
        assert "<error>" not in reply, reply
        return reply

    def submit(self, app: str, jobs: str) -> int:
        reply = self("submit_batch", f"<batch><app_name>{app}</app_name><batch_name>mine</batch_name>{jobs}</batch>")
        return int(value(reply, "batch_id"))

    def output(self, workunit: str) -> bytes:
        query: dict[str, str | int] = {"cmd": "workunit_file", "wu_name": workunit, "file_num": 0}
        query["auth_str"] = self.account.authenticator
        return httpx.get(f"{self.page}get_output.php", params=query, trust_env=False).content


def value(reply: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", reply)
    assert found is not None, reply
    return found[1]


@pytest.mark.project(dont_delete_files=True)
def test_a_batch_is_computed_and_its_outputs_fetched(stack: Stack) -> None:
    stack.client(attach=True)
    sue = Scientist(stack)
    inputs = [f"<job><input_file><mode>inline</mode><source>word {number}</source></input_file></job>" for number in range(3)]

    batch = sue.submit("uppercase", "".join(inputs))
    wait_until(lambda: value(sue("query_batch", f"<batch_id>{batch}</batch_id>"), "fraction_done") == "1", "all done", within=60)

    assert value(sue("query_batch", f"<batch_id>{batch}</batch_id>"), "state") == "2", "complete"
    assert [sue.output(str(workunit["name"])) for workunit in stack.project.workunits()] == [b"WORD 0", b"WORD 1", b"WORD 2"]


def test_an_aborted_batch_ends_its_tasks_on_the_hosts(stack: Stack) -> None:
    client = stack.client(attach=True)
    sue = Scientist(stack)
    batch = sue.submit("sleeper", "<job><command_line>6000</command_line></job>")
    client.wait_task(active_state="EXECUTING")

    sue("abort_batch", f"<batch_id>{batch}</batch_id>")
    client.update(stack.project)
    event = stack.history.wait("result.reported", within=30)

    assert event.get("exit_status") == 202
    assert value(sue("query_batch", f"<batch_id>{batch}</batch_id>"), "state") == "3", "aborted"
