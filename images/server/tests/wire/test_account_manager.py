"""The account manager, and what projects offer to account managers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from boinc_server import accounts, crypt, models
from boinc_server.account_manager import AccountManager
from boinc_server.hosts import weak_authenticator
from boinc_server.project import Project
from boinc_server.registry import Registry
from sqlalchemy import select

from .conftest import Http, Volunteer, add_user

URL = "/account_manager/rpc.php"
EMAIL = "ann@boinc.test"
HASH = accounts.passwd_hash(EMAIL, "secret")


def request(name: str = EMAIL, password_hash: str = HASH, authenticator: str = "", rest: str = "") -> str:
    who = (
        f"   <authenticator>{authenticator}</authenticator>\n"
        if authenticator
        else (f"   <name>{name}</name>\n   <password_hash>{password_hash}</password_hash>\n")
    )
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<acct_mgr_request>\n{who}   <host_cpid>abc</host_cpid>\n{rest}</acct_mgr_request>\n'


def test_all_projects_with_this_account_and_none_else(http: Http, registry: Registry, project: Project) -> None:
    add_user(project)
    other = registry.create("q")
    add_user(other)
    accounts.create(registry.create("r"), EMAIL, "0" * 32, "Ann")
    registry.create("s")
    text = http.post(URL, request()).text
    assert re.findall("<url>([^<]*)</url>", text) == [project.master_url, other.master_url]
    key = crypt.PublicKey.parse(re.search("<signing_key>(.*?)</signing_key>", text, re.DOTALL).group(1))  # type: ignore[union-attr]
    for url, signature in zip(
        re.findall("<url>([^<]*)</url>", text), re.findall("<url_signature>(.*?)</url_signature>", text, re.DOTALL), strict=True
    ):
        assert crypt.verify_text(url, signature, key)
    assert text.startswith("<acct_mgr_reply>")
    assert "<error_num>" not in text


def test_the_key_survives_a_restart(http: Http, registry: Registry, project: Project) -> None:
    add_user(project)
    assert AccountManager(registry).key() == AccountManager(registry).key()


def test_an_account_key_opens_its_own_account_only(http: Http, registry: Registry, project: Project) -> None:
    victim = add_user(project)
    impostor = accounts.create(registry.create("q"), EMAIL, "0" * 32, "Mallory")
    text = http.post(URL, request(authenticator=impostor.authenticator)).text
    assert text.count("<account>") == 1
    assert victim.authenticator not in text


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (request("nobody@x.y"), -136),
        (request(password_hash="0" * 32), -206),
        (request(password_hash=""), -206),
        (request(authenticator="0" * 32), -136),
        (request(authenticator="' OR 1=1"), -136),
        ("", -112),
        ("junk", -112),
        ("<acct_mgr_request>", -112),
        (request("x" * 1000), -136),
    ],
)
def test_errors(http: Http, project: Project, body: str, number: int) -> None:
    add_user(project)
    assert f"<error_num>{number}</error_num>" in http.post(URL, body).text


def test_elements_of_attached_projects_are_not_taken_for_the_log_in(http: Http, project: Project) -> None:
    user = add_user(project, "bob@boinc.test", "Bob")
    rest = f"<project>\n<url>x</url>\n<authenticator>{user.authenticator}</authenticator>\n</project>\n"
    assert "<error_num>-136</error_num>" in http.post(URL, request(rest=rest)).text


def test_a_project_can_add_to_its_account(http: Http, project: Project) -> None:
    add_user(project)
    project.path("account_manager.xml").write_text("<suspend>1</suspend>\n")
    assert "<suspend>1</suspend>" in http.post(URL, request()).text


def test_the_manager_says_what_it_is(http: Http, project: Project) -> None:
    text = http.get("/account_manager/get_project_config.php").text
    assert "<account_manager/>" in text
    assert "<master_url>http://boinc.test/account_manager/</master_url>" in text
    assert http.get("/account_manager/other").status_code == 404


def am(http: Http, rpc: str, **params: Any) -> str:
    return str(http.get(f"/p/am_{rpc}.php", params=params).text)


def test_am_get_info(http: Http, project: Project) -> None:
    user = add_user(project)
    text = am(http, "get_info", account_key=user.authenticator)
    for part in ("<success/>", "<id>1</id>", "<name>Ann</name>", f"<weak_auth>{weak_authenticator(user)}</weak_auth>", "<venue></venue>"):
        assert part in text
    assert "<error_num>-136</error_num>" in am(http, "get_info", account_key="0" * 32)
    assert "<error_num>-136</error_num>" in am(http, "get_info")


def test_am_set_host_info(ann: Volunteer) -> None:
    ann.rpc()
    key = ann.host.authenticator
    assert "<success/>" in am(ann.http, "set_host_info", account_key=key, hostid=1, venue="work")
    with ann.project.transaction() as tx:
        assert tx.one(select(models.host.c.venue)) == ("work",)
    bob = add_user(ann.project, "bob@boinc.test", "Bob").authenticator
    for params, number in (
        ({"account_key": bob, "hostid": 1, "venue": "home"}, -136),
        ({"account_key": "x", "hostid": 1, "venue": "home"}, -136),
        ({"account_key": key, "hostid": 9, "venue": "home"}, -136),
        ({"account_key": key, "hostid": "x", "venue": "home"}, -136),
        ({"account_key": key, "hostid": 1, "venue": "<b>"}, -1),
    ):
        assert f"<error_num>{number}</error_num>" in am(ann.http, "set_host_info", **params)


def test_am_set_info_is_switched_off_as_upstream(http: Http, project: Project) -> None:
    assert "<error_num>-1</error_num>" in am(http, "set_info", account_key=add_user(project).authenticator, name="X")
