"""The web pages: what is on them, who may see them, and that nothing in them is ever markup of a stranger."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from boinc_server import accounts, models
from boinc_server.project import Project
from sqlalchemy import select, update

from .conftest import Http, Volunteer, add_job, add_user

EVIL = '<script>alert("x")</script>'
ADMIN = ("admin", "token-of-the-test")


@pytest.fixture(autouse=True)
def control_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_CONTROL_TOKEN", ADMIN[1])


def log_in(http: Http, email: str = "ann@boinc.test", password: str = "secret") -> dict[str, str]:
    """Headers of a logged-in browser."""
    response = http("POST", "/p/login_form.php", data={"email_addr": email, "passwd": password})
    assert response.status_code == 303, response.text
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return {"cookie": cookie.partition(";")[0]}


def page(http: Http, path: str, headers: dict[str, str] | None = None, **options: Any) -> str:
    response = http.get(path, headers=headers or {}, **options)
    assert response.status_code == 200, response.text
    check_headers(response)
    return response.text


def check_headers(response: httpx.Response) -> None:
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script|\son\w+=|style=|javascript:", response.text)


def test_front_page(http: Http, ann: Volunteer) -> None:
    text = page(http, "/p/")
    for part in ("Project P", "http://boinc.test/p/", 'Volunteers</th><td class="n">1</td>', "Uppercase", "Log in", "Join"):
        assert part in text


def test_style_sheet(http: Http, project: Project) -> None:
    response = http.get("/p/style.css")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/css; charset=utf-8")


def test_server_status(http: Http, ann: Volunteer) -> None:
    add_job(ann.project)
    assert re.search(r'ready to send</td><td class="n">1<', page(http, "/p/server_status.php"))
    ann.project.configure({"stop_sched": True})
    assert "not running" in page(http, "/p/server_status.php")
    assert "<results_ready_to_send>1</results_ready_to_send>" in http.get("/p/server_status.php?xml=1").text


def test_account_pages_from_joining_to_a_task(http: Http, ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    finished = ann.compute(task)
    finished.stderr = EVIL
    ann.rpc(finished=[finished])
    headers = log_in(http)
    account = page(http, "/p/home.php", headers)
    assert ann.host.authenticator in account
    assert re.search(r">1_[0-9a-f]{32}<", account)
    assert "host-1" in page(http, "/p/hosts_user.php", headers)
    assert "GenuineIntel" in page(http, "/p/show_host_detail.php?hostid=1", headers)
    for path in ("/p/results.php", "/p/results.php?hostid=1"):
        assert task.name in page(http, path, headers)
    text = page(http, "/p/result.php?resultid=1", headers)
    assert "&lt;script&gt;alert(" in text
    assert "success" in text


def test_creating_an_account_logs_in(http: Http, project: Project) -> None:
    form = {"user_name": "Eve", "email_addr": "Eve@boinc.test", "passwd": "longenough"}
    response = http("POST", "/p/create_account_form.php", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "home.php")
    assert "eve@boinc.test" in page(http, "/p/home.php", {"cookie": response.headers["set-cookie"].partition(";")[0]})
    assert log_in(http, "eve@boinc.test", "longenough")


@pytest.mark.parametrize(
    "form",
    [
        {"user_name": "Eve", "email_addr": "eve@boinc.test", "passwd": "short"},
        {"user_name": EVIL, "email_addr": "eve@boinc.test", "passwd": "longenough"},
        {"user_name": "Eve", "email_addr": EVIL, "passwd": "longenough"},
        {"user_name": "Eve", "email_addr": "ann@boinc.test", "passwd": "longenough"},
        {},
    ],
)
def test_a_wrong_form_comes_back_with_the_reason(http: Http, project: Project, form: dict[str, str]) -> None:
    add_user(project)
    response = http("POST", "/p/create_account_form.php", data=form)
    assert response.status_code == 400
    assert 'class="problem"' in response.text
    check_headers(response)


def test_a_wrong_password(http: Http, project: Project) -> None:
    add_user(project)
    for email in ("ann@boinc.test", "nobody@boinc.test"):
        response = http("POST", "/p/login_form.php", data={"email_addr": email, "passwd": "wrong"})
        assert response.status_code == 403
        assert "No account has this e-mail address and password." in response.text


OWN_PAGES = ["home.php", "hosts_user.php", "show_host_detail.php?hostid=1", "results.php", "results.php?hostid=1", "result.php?resultid=1"]


@pytest.mark.parametrize("name", OWN_PAGES)
@pytest.mark.parametrize("cookie", ["", "boinc_session=", "boinc_session=guess", "boinc_session=' OR 1=1", "\xff;;=", "x"])
def test_own_pages_need_a_log_in(http: Http, ann: Volunteer, name: str, cookie: str) -> None:
    response = http.get(f"/p/{name}", headers={"cookie": cookie.encode("latin-1")})
    assert (response.status_code, response.headers["location"]) == (303, "login_form.php")


@pytest.mark.parametrize("name", ["show_host_detail.php?hostid=1", "results.php?hostid=1", "result.php?resultid=1"])
def test_nobody_sees_anothers_hosts_and_tasks(http: Http, ann: Volunteer, name: str) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    add_user(ann.project, "bob@boinc.test", "Bob")
    bob = log_in(http, "bob@boinc.test")
    assert http.get(f"/p/{name}", headers=bob).status_code == 404
    assert "uppercase_" not in page(http, "/p/results.php", bob)
    assert http.get(f"/p/{name}", headers=log_in(http)).status_code == 200


def test_log_out_ends_the_session(http: Http, ann: Volunteer) -> None:
    headers = log_in(http)
    assert http.get("/p/logout.php", headers=headers).status_code == 303
    assert http.get("/p/home.php", headers=headers).status_code == 303


def test_a_session_of_another_project_is_none(http: Http, ann: Volunteer, registry: Any) -> None:
    headers = log_in(http)
    registry.create("q")
    assert http.get("/q/home.php", headers=headers).status_code == 303


def token_of(project: Project, kind: str) -> str:
    with project.transaction() as tx:
        row = tx.one(select(models.token.c.token).where(models.token.c.type == kind))
    assert row is not None
    return str(row[0])


def test_verification_of_an_address(http: Http, project: Project) -> None:
    project.configure({"verify_email": True})
    add_user(project)
    token = token_of(project, accounts.TOKEN_VERIFY)
    assert "is verified" in page(http, f"/p/validate_email_addr.php?token={token}")
    assert http.get(f"/p/validate_email_addr.php?token={token}").status_code == 403
    assert http.get("/p/validate_email_addr.php?token=guess").status_code == 403
    with project.transaction() as tx:
        user = accounts.find(tx, "ann@boinc.test")
    assert user is not None
    assert user.email_validated == 1
    assert any(b'"mail.sent"' in line and b"ann@boinc.test" in line for line in project.events.since(0))


def test_forgotten_password(http: Http, project: Project) -> None:
    add_user(project)
    assert "on its way" in http("POST", "/p/get_passwd.php", data={"email_addr": "ann@boinc.test"}).text
    token = token_of(project, accounts.TOKEN_PASSWORD)
    assert token in page(http, f"/p/reset_password.php?token={token}")
    assert http("POST", "/p/reset_password.php", data={"token": token, "passwd": "x"}).status_code == 400
    assert http("POST", "/p/reset_password.php", data={"token": token, "passwd": "new secret"}).status_code == 200
    assert http("POST", "/p/reset_password.php", data={"token": token, "passwd": "other secret"}).status_code == 403
    assert log_in(http, password="new secret")


def test_a_forgotten_password_does_not_tell_who_has_an_account(http: Http, project: Project) -> None:
    add_user(project)
    answers = {
        http("POST", "/p/get_passwd.php", data={"email_addr": email}).text.split("<footer>")[0] for email in ("ann@boinc.test", "x@y.z")
    }
    assert len(answers) == 1


def test_old_tokens_are_void(http: Http, project: Project) -> None:
    add_user(project)
    accounts.send_forgotten_password(project, "ann@boinc.test")
    token = token_of(project, accounts.TOKEN_PASSWORD)
    with project.transaction() as tx:
        tx.execute(update(models.token).values(create_time=tx.now - 2 * 86400))
    assert http("POST", "/p/reset_password.php", data={"token": token, "passwd": "new secret"}).status_code == 403


# --- the admin


@pytest.mark.parametrize("auth", [None, ("admin", "wrong"), ("root", ADMIN[1]), ("admin", "")])
def test_the_admins_pages_need_the_token(http: Http, project: Project, auth: tuple[str, str] | None) -> None:
    for path in ("/p_ops/", "/p_ops/db_action.php?table=user"):
        response = http.get(path, auth=auth)
        assert response.status_code == 401
        assert "Basic" in response.headers["www-authenticate"]


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic /w==", "Bearer " + ADMIN[1], "basic YWRtaW4="])
def test_odd_credentials(http: Http, project: Project, value: str) -> None:
    assert http.get("/p_ops/", headers={"authorization": value}).status_code == 401


def test_without_a_token_there_is_no_admin(http: Http, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOINC_CONTROL_TOKEN")
    assert http.get("/p_ops/", auth=("admin", "")).status_code == 401


def test_admin_overview_refreshes_itself(http: Http, ann: Volunteer) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    text = page(http, "/p_ops/", auth=ADMIN)
    assert '<meta http-equiv="refresh" content="2">' in text
    assert '<rect width="300" height="12"/>' in text
    assert "result.sent" in text


@pytest.mark.parametrize(
    "table", ["workunit", "result", "host", "user", "app", "app_version", "batch", "msg_from_host", "msg_to_host", "host_app_version"]
)
def test_admin_tables(http: Http, ann: Volunteer, table: str) -> None:
    ann.host.name = EVIL
    add_job(ann.project)
    ann.rpc(1.0)
    for suffix in ("", "&detail=1", "&offset=50", "&id=1", "&id=1;drop", "&server_state=4"):
        text = page(http, f"/p_ops/db_action.php?table={table}{suffix}", auth=ADMIN)
        assert ann.host.authenticator not in text


def test_admin_filters(http: Http, ann: Volunteer) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    assert "in progress" in page(http, "/p_ops/db_action.php?table=result&server_state=4", auth=ADMIN)
    assert "uppercase_" not in page(http, "/p_ops/db_action.php?table=result&server_state=5", auth=ADMIN)


def test_unknown_admin_pages(http: Http, project: Project) -> None:
    assert http.get("/p_ops/db_action.php?table=sqlite_master", auth=ADMIN).status_code == 404
    assert http.get("/p_ops/nothing", auth=ADMIN).status_code == 404
