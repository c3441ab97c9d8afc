"""Account managers: one log-in attaches a client to all projects where the volunteer has that account."""

import pytest

from harness.guirpc import ErrorNumber, RpcFailed
from harness.stack import Stack
from harness.versions import ClientVersion

pytestmark = pytest.mark.needs("account_manager")


def manager_of(stack: Stack) -> str:
    """The account manager that the embedded server keeps beside its projects."""
    return stack.project.master_url.removesuffix(f"{stack.project.name}/") + "account_manager/"


def test_an_account_manager_attaches_the_project(stack: Stack, client_version: ClientVersion) -> None:
    account = stack.project.create_account(stack.project.address("mary"), "somerville 1831", "Mary")
    client = stack.client()

    client.rpc().acct_mgr_rpc_and_wait(manager_of(stack), account.email, account.password)
    client.wait_attached(stack.project)

    [host] = stack.project.hosts()
    assert host["userid"] == account.id
    [attached] = client.projects()
    assert attached.master_url == stack.project.master_url
    assert attached.attached_via_acct_mgr
    assert client.rpc().acct_mgr_info().acct_mgr_url == manager_of(stack)


def test_an_account_manager_refuses_a_wrong_password(stack: Stack, client_version: ClientVersion) -> None:
    account = stack.project.create_account(stack.project.address("mary"), "somerville 1831", "Mary")
    client = stack.client()

    with pytest.raises(RpcFailed) as refused:
        client.rpc().acct_mgr_rpc_and_wait(manager_of(stack), account.email, "lovelace 1843")

    assert refused.value.error_num == ErrorNumber.BAD_PASSWD
    assert client.projects() == ()
