"""The mails a project sends, as a mail server receives them."""

import httpx

from harness import JobState
from harness.stack import Stack


def _words(page: str) -> str:
    return page.partition("<main>")[2].partition("</main>")[0]


def test_a_forgotten_password_is_answered_by_mail(stack: Stack) -> None:
    account = stack.project.create_account(stack.project.address("ada"), "lovelace 1843", "Ada")

    page = f"{stack.page(stack.project)}get_passwd.php"
    known = httpx.post(page, data={"email_addr": account.email}, trust_env=False)
    unknown = httpx.post(page, data={"email_addr": stack.project.address("nobody")}, trust_env=False)

    mail = stack.mail.wait_for(account.email)
    assert f"{stack.project.master_url}reset_password.php?token=" in mail.text
    assert account.password not in mail.text
    assert known.status_code == unknown.status_code == 200
    assert _words(known.text) == _words(unknown.text), "the page does not tell who has an account"
    assert len(stack.mail.all()) == 1


def test_the_administrator_hears_of_a_job_that_failed(stack: Stack) -> None:
    admin = stack.project.address("admin")
    stack.project.configure(admin_email=admin)
    stack.client(attach=True)
    job = stack.project.submit("crash", command_line="exit 9", max_error_results=1, max_total_results=2)

    job.wait_for(JobState.ERROR)

    mail = stack.mail.wait_for(admin)
    assert job.name in mail.subject + mail.text
    assert len(stack.mail.to(admin)) == 1, "one mail for one job"


def test_nobody_writes_a_mails_headers_through_an_address(stack: Stack) -> None:
    account = stack.project.create_account(stack.project.address("eve"), "mallory 1984", "Eve")
    page = f"{stack.page(stack.project)}get_passwd.php"
    httpx.post(page, data={"email_addr": f"{account.email}\r\nBcc: everybody@elsewhere.test"}, trust_env=False)
    httpx.post(page, data={"email_addr": account.email}, trust_env=False)

    mail = stack.mail.wait_for(account.email)

    assert "bcc" not in mail.headers
    assert mail.to == [account.email]
    assert len(stack.mail.all()) == 1
