"""docs/look-around.md: every operation of boinccmd that it names is one, and does what the table says in a running client."""

import re
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.waiting import wait_until

TEXT = (Path(__file__).parents[2] / "docs" / "look-around.md").read_text(encoding="utf-8")
TABLE = TEXT[TEXT.index("boinccmd ...`") :]
OPERATIONS = [words for line in TABLE.splitlines()[2:] for words in re.findall(r"`(--[^`]+)`", line)]


def test_the_table_is_read() -> None:
    assert len(OPERATIONS) >= 30


@pytest.mark.engine
@pytest.mark.timeout(240)
def test_every_operation_works_as_it_is_written(stack: Stack) -> None:
    client = stack.client()
    project = stack.project
    account = project.account()
    values = {"URL": project.master_url, "KEY": account.authenticator, "EMAIL": account.email, "PASSWORD": account.password, "NAME": "Ada"}
    usage = client.exec(["boinccmd", "--help"], check=False)

    def run(operation: str, **more: str) -> str:
        return client.exec(["boinccmd", *({**values, **more}.get(word, word) for word in operation.split())])

    for operation in OPERATIONS:
        assert operation.split()[0] in usage, operation

    run("--project_attach URL KEY")
    wait_until(client.projects, "the project", within=20)
    project.submit("sleeper", command_line="100000")
    run("--project URL update")
    client.wait_task(active_state="EXECUTING", within=60)
    task = client.tasks()[0].name
    alone = ("--quit", "--project_attach", "--create_account", "--file_transfer", "--lookup_account")
    last = ("--project URL reset", "--project URL detach", "--task URL TASK abort")
    for operation in OPERATIONS:
        if not operation.startswith(alone) and operation not in last:
            run(operation, TASK=task)
    run("--lookup_account URL EMAIL PASSWORD")
    run("--create_account URL EMAIL PASSWORD NAME", EMAIL="ada@example.test")
    assert "ada@example.test" in {user["email_addr"] for user in project.users()}
    run("--task URL TASK abort", TASK=task)
    wait_until(lambda: any(message.body.strip().endswith("aborted by user") for message in client.messages()), "the abort", within=20)
    run("--project URL reset")
    run("--project URL detach")
    wait_until(lambda: not client.projects(), "no project", within=20)
    run("--quit")
    client.wait_ended()
