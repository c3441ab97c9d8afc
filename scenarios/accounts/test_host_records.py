"""Computers and their records on a project."""

from harness import JobState
from harness.stack import Stack
from harness.waiting import wait_until


def test_a_merged_host_goes_on_as_the_one_it_was_merged_into(stack: Stack) -> None:
    old = stack.client(attach=True)
    [first] = stack.project.hosts()
    stack.faults.kill(old)
    client = stack.client(attach=True)
    second = int(str(stack.project.hosts()[1]["id"]))

    # what a volunteer's "merge computers by name" does in the database: the merged one is nobody's and points to the other
    stack.project.edit("host", second, userid=0, rpc_seqno=first["id"])
    client.update(stack.project)
    wait_until(lambda: client.projects()[0].hostid == first["id"], "the other id", within=20)
    job = stack.project.submit("uppercase", input=b"one of them")
    job.wait_for(JobState.VALIDATED)

    assert job.result.host_id == first["id"]
    assert len(stack.project.hosts()) == 2, "no third record"


def test_a_host_that_changed_hands_is_a_new_one(stack: Stack) -> None:
    client = stack.client(attach=True)
    client.detach(stack.project)
    heir = stack.project.create_account(stack.project.address("heir"), "heirloom 1900")

    client.attach(stack.project, heir)

    former, present = stack.project.hosts()
    assert client.projects()[0].hostid == present["id"] != former["id"]
    assert present["userid"] == heir.id
