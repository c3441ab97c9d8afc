"""Computers and their records on a project."""

import pytest

from harness import JobState
from harness.client import Client
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until


def test_a_merged_host_goes_on_as_the_one_it_was_merged_into(stack: Stack) -> None:
    client = stack.client(attach=True)

    second = _merge_with_a_former_record(stack, client)
    job = stack.project.submit("uppercase", input=b"one of them")
    job.wait_for(JobState.VALIDATED)

    assert job.result.host_id == second
    assert len(stack.project.hosts()) == 2, "no third record"


@pytest.mark.issue(725)
def test_a_merge_of_hosts_costs_no_task(stack: Stack, client_version: ClientVersion) -> None:
    """The report: a host that computed was merged with another by mistake, got a new id, and its task was aborted."""
    client = stack.client(version=client_version, attach=True)
    job = stack.project.submit("sleeper", command_line="120")
    client.wait_task(active_state="EXECUTING")

    second = _merge_with_a_former_record(stack, client)
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert [result.host_id for result in job.results()] == [second], "one try, which went over to the other record"


def test_a_host_that_changed_hands_is_a_new_one(stack: Stack) -> None:
    client = stack.client(attach=True)
    client.detach(stack.project)
    heir = stack.project.create_account(stack.project.address("heir"), "heirloom 1900")

    client.attach(stack.project, heir)

    former, present = stack.project.hosts()
    assert client.projects()[0].hostid == present["id"] != former["id"]
    assert present["userid"] == heir.id


def _merge_with_a_former_record(stack: Stack, client: Client) -> int:
    """Merge the record of a client with one that a computer has left behind; returns the id that it has from then on.

    The computer of that record is gone, or two of them would take each other's tasks. And the client has called more often than
    it had: a client whose rpc_seqno is less than its record's is taken for a copy, and gets a third record (authenticate_user).
    """
    stack.faults.kill(stack.client(version=client.version, attach=True))

    def called_more_often() -> bool:
        client.update(stack.project)
        own, other = (int(str(host["rpc_seqno"])) for host in stack.project.hosts())
        return own > other

    wait_until(called_more_often, "more calls than the other computer made", within=20, every=0.5)
    first, second = (int(str(host["id"])) for host in stack.project.hosts())
    stack.project.merge_hosts(first, second)
    client.update(stack.project)
    wait_until(lambda: client.projects()[0].hostid == second, "the other id", within=20)
    return second
