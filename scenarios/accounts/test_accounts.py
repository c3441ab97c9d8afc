"""Accounts: made and found through the client, and the mails that go with them."""

import re
from dataclasses import replace

import httpx
import pytest

from harness import JobState
from harness.client import Client
from harness.guirpc import ErrorNumber, RpcFailed
from harness.stack import Stack
from harness.versions import ClientVersion


def test_attach_by_key(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()
    client.attach(stack.project)

    [host] = stack.project.hosts()
    [attached] = client.projects()
    assert attached.hostid == host["id"]
    assert host["userid"] == stack.project.account().id
    assert host["domain_name"] == client.name


def test_attach_by_weak_key(stack: Stack, client_version: ClientVersion) -> None:
    account = stack.project.account()
    with httpx.Client(base_url=stack.page(stack.project), follow_redirects=True, trust_env=False) as browser:
        page = browser.post("login_form.php", data={"email_addr": account.email, "passwd": account.password}).text
    weak = re.findall(rf">({account.id}_[0-9a-f]{{32}})<", page)
    assert len(weak) == 1, page
    client = stack.client()
    client.attach(stack.project, replace(account, authenticator=weak[0]))
    job = stack.project.submit("uppercase", input=b"weak but able")
    client.update(stack.project)

    job.wait_for(JobState.VALIDATED)

    [host] = stack.project.hosts()
    assert host["userid"] == account.id
    assert "account_" in files_with(client, weak[0])
    assert files_with(client, account.authenticator) == "", "the server must not tell the strong key to whoever has the weak one"


def files_with(client: Client, text: str) -> str:
    """The files in a client's data directory that hold a text, one a line."""
    return client.exec(["grep", "-rl", text, "."], check=False)


def test_attach_by_email_and_password(stack: Stack, client_version: ClientVersion) -> None:
    account = stack.project.create_account(stack.project.address("ada"), "lovelace 1843", "Ada")
    client = stack.client()
    client.attach_with_password(stack.project, account.email, account.password)

    [host] = stack.project.hosts()
    assert host["userid"] == account.id


def test_a_wrong_password_is_refused(stack: Stack, client_version: ClientVersion) -> None:
    account = stack.project.create_account(stack.project.address("ada"), "lovelace 1843")
    client = stack.client()

    with pytest.raises(RpcFailed) as refused:
        client.attach_with_password(stack.project, account.email, "babbage 1843")

    assert refused.value.error_num == ErrorNumber.BAD_PASSWD
    assert client.projects() == ()


@pytest.mark.project(verify_email=True)
def test_an_account_made_by_the_client_is_verified_by_mail(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()
    email = stack.project.address("grace")
    key = client.create_account(stack.project, email, "hopper 1952", "Grace")

    [user] = [user for user in stack.project.users() if user["email_addr"] == email]
    assert user["authenticator"] == key
    mail = stack.mail.wait_for(email)
    assert stack.project.master_url in mail.text, "the link that confirms the address"
    assert len(stack.mail.to(email)) == 1


def test_a_second_account_of_one_address_needs_the_same_password(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()
    email = stack.project.address("grace")
    key = client.create_account(stack.project, email, "hopper 1952", "Grace")

    assert client.create_account(stack.project, email, "hopper 1952", "Grace") == key
    with pytest.raises(RpcFailed) as refused:
        client.create_account(stack.project, email, "another one", "Grace")
    assert refused.value.error_num == ErrorNumber.DB_NOT_UNIQUE
    assert len([user for user in stack.project.users() if user["email_addr"] == email]) == 1
