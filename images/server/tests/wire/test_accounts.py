"""The account web RPCs and their error numbers; mails."""

from __future__ import annotations

import re
from typing import Any

import pytest
from boinc_server import accounts, models
from boinc_server.project import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select

from .conftest import Http, add_app, add_user

EMAIL = "ann@boinc.test"
HASH = accounts.passwd_hash(EMAIL, "secret")
CREATE = {"email_addr": EMAIL, "passwd_hash": HASH, "user_name": "Ann"}
AUTHENTICATOR = re.compile(r"<account_out>\n<authenticator>([0-9a-f]{32})</authenticator>\n</account_out>\n")


def error(response: Any) -> tuple[int, str]:
    assert response.status_code == 200
    match = re.fullmatch(r"<error>\n    <error_num>(-\d+)</error_num>\n    <error_msg>([^<]*)</error_msg>\n</error>\n", response.text)
    assert match, response.text
    return int(match.group(1)), match.group(2)


def users(project: Project) -> int:
    with project.transaction() as tx:
        found = tx.one(select(func.count()).select_from(models.user))
    assert found is not None
    return int(found[0])


def create(http: Http, **changes: str | None) -> Any:
    params = {key: value for key, value in (CREATE | changes).items() if value is not None}
    return http.get("/p/create_account.php", params=params)


def lookup(http: Http, **params: str) -> Any:
    return http.get("/p/lookup_account.php", params=params)


def test_password_hash_is_md5_of_password_and_lower_case_address() -> None:
    assert accounts.passwd_hash("Ann@Boinc.Test", "secret") == HASH
    assert re.fullmatch("[0-9a-f]{32}", HASH)


def test_create_then_look_up(http: Http, project: Project) -> None:
    created = AUTHENTICATOR.fullmatch(create(http).text)
    found = AUTHENTICATOR.fullmatch(lookup(http, email_addr=EMAIL, passwd_hash=HASH).text)
    assert created
    assert found
    assert created.group(1) == found.group(1)


def test_create_again_with_the_same_password_returns_the_account(http: Http, project: Project) -> None:
    assert create(http).text == create(http).text
    assert users(project) == 1


def test_capitals_in_the_address_make_no_difference(http: Http, project: Project) -> None:
    text = create(http).text
    assert create(http, email_addr=EMAIL.upper()).text == text
    assert lookup(http, email_addr=EMAIL.upper(), passwd_hash=HASH).text == text


def test_lookup_without_password_tells_existence(http: Http, project: Project) -> None:
    create(http)
    assert lookup(http, email_addr=EMAIL).text == "<account_out>\n   <success/>\n</account_out>\n"


def test_lookup_by_hash_of_the_account_key(http: Http, project: Project) -> None:
    user = add_user(project)
    sent = accounts.crypt.md5_text(user.authenticator + EMAIL)
    assert user.authenticator in lookup(http, email_addr=EMAIL, passwd_hash=sent).text


CREATE_ERRORS: list[tuple[dict[str, str | None], dict[str, Any], int, str]] = [
    ({"passwd_hash": "0" * 32}, {}, -137, "not unique"),
    ({"email_addr": "new@x.y", "passwd_hash": "short"}, {}, -1, "password hash length not 32"),
    ({"email_addr": "new@x.y", "passwd_hash": "ü" * 32}, {}, -1, "password hash length not 32"),
    ({"email_addr": "nonsense"}, {}, -205, "Email address has invalid syntax"),
    ({"email_addr": ""}, {}, -205, "invalid syntax"),
    ({"email_addr": "a@b.c\r\nBcc: v@x.y"}, {}, -205, "invalid syntax"),
    ({"email_addr": "a@b.c,v@x.y"}, {}, -205, "invalid syntax"),
    ({"email_addr": "a@" + "x" * 300}, {}, -205, "invalid syntax"),
    ({"user_name": ""}, {}, -188, "nonempty"),
    ({"user_name": " Ann"}, {}, -188, "white space"),
    ({"user_name": "<b>Ann"}, {}, -188, "special characters"),
    ({"user_name": "12"}, {}, -188, "number"),
    ({"user_name": "x" * 300}, {}, -188, "special characters"),
    ({"user_name": None}, {}, -1, "missing or bad parameter: user_name"),
    ({"email_addr": None}, {}, -1, "missing or bad parameter: email_addr"),
    ({"passwd_hash": None}, {}, -1, "missing or bad parameter: passwd_hash"),
    ({}, {"disable_account_creation": True}, -1, "not accepting new accounts"),
    ({}, {"invite_codes": "^abc$"}, -1, "missing or bad parameter: invite_code"),
    ({"invite_code": "xyz"}, {"invite_codes": "^abc$"}, -1, "Invalid invitation code"),
    ({}, {"stop_web": True}, -183, "temporarily offline"),
]


@pytest.mark.parametrize(("changes", "config", "number", "message"), CREATE_ERRORS)
def test_create_errors(
    http: Http, project: Project, changes: dict[str, str | None], config: dict[str, Any], number: int, message: str
) -> None:
    create(http)
    project.configure(config)
    got, text = error(create(http, **changes))
    assert got == number
    assert message in text
    assert users(project) == 1


def test_an_invitation_code_that_fits(http: Http, project: Project) -> None:
    project.configure({"invite_codes": "^abc$"})
    assert AUTHENTICATOR.fullmatch(create(http, invite_code="abc").text)


LOOKUP_ERRORS: list[tuple[dict[str, str], dict[str, Any], int]] = [
    ({"email_addr": "nobody@x.y"}, {}, -136),
    ({"email_addr": "nobody@x.y", "passwd_hash": HASH}, {}, -136),
    ({"email_addr": EMAIL, "passwd_hash": "0" * 32}, {}, -206),
    ({"email_addr": EMAIL, "passwd_hash": "ü" * 32}, {}, -206),
    ({"email_addr": "' OR 1=1 --", "passwd_hash": HASH}, {}, -136),
    ({}, {}, -1),
    ({"email_addr": EMAIL, "passwd_hash": HASH}, {"stop_web": True}, -183),
]


@pytest.mark.parametrize(("params", "config", "number"), LOOKUP_ERRORS)
def test_lookup_errors(http: Http, project: Project, params: dict[str, str], config: dict[str, Any], number: int) -> None:
    create(http)
    project.configure(config)
    assert error(lookup(http, **params))[0] == number


def test_errors_become_events(http: Http, project: Project) -> None:
    lookup(http, email_addr="nobody@x.y")
    assert any(b'"account.error"' in line and b"-136" in line for line in project.events.since(0))


def test_the_password_is_stored_as_a_slow_salted_hash(project: Project) -> None:
    user = add_user(project)
    assert user.passwd_hash.startswith("pbkdf2$")
    assert HASH not in user.passwd_hash
    assert accounts.stored_hash(HASH) != user.passwd_hash
    assert accounts.check_password(user.passwd_hash, HASH)
    assert not accounts.check_password(user.passwd_hash, "0" * 32)
    assert not accounts.check_password("", HASH)


def test_a_team_named_at_creation_is_joined(http: Http, project: Project) -> None:
    with project.transaction() as tx:
        tx.insert(insert(models.team), name="T", description="", joinable=1)
    create(http, team_name="T")
    create(http, email_addr="b@x.y", team_name="no such team")
    with project.transaction() as tx:
        assert [user.teamid for user in tx.all(select(models.user).order_by(models.user.c.id))] == [1, 0]


def test_project_config(http: Http, project: Project) -> None:
    add_app(project)
    project.configure({"min_core_client_version": 70000, "min_passwd_length": 8})
    text = http.get("/p/get_project_config.php").text
    for part in (
        "<name>Project P</name>",
        "<master_url>http://boinc.test/p/</master_url>",
        "<web_rpc_url_base>http://boinc.test/p/</web_rpc_url_base>",
        "<web_stopped>0</web_stopped>",
        "<sched_stopped>0</sched_stopped>",
        "<min_passwd_length>8</min_passwd_length>",
        "<min_client_version>70000</min_client_version>",
        "<platform_name>x86_64-pc-linux-gnu</platform_name><user_friendly_name>Linux",
    ):
        assert part in text
    assert "account_creation_disabled" not in text
    assert text.startswith("<project_config>")


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"stop_web": True}, "<error_num>-183</error_num>\n    <web_stopped>1</web_stopped>"),
        ({"stop_sched": True}, "<sched_stopped>1</sched_stopped>"),
        ({"disable_account_creation": True}, "<account_creation_disabled/>"),
        ({"invite_codes": "x"}, "<invite_code_required/>"),
    ],
)
def test_project_config_flags(http: Http, project: Project, config: dict[str, Any], part: str) -> None:
    project.configure(config)
    assert part in http.get("/p/get_project_config.php").text


def test_terms_of_use(http: Http, project: Project) -> None:
    project.path("terms_of_use.txt").write_text("Be <nice>.")
    assert "<terms_of_use>\nBe &lt;nice&gt;.\n" in http.get("/p/get_project_config.php").text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=st.dictionaries(st.sampled_from(["email_addr", "passwd_hash", "user_name", "team_name", "x"]), st.text(max_size=60)))
def test_any_parameters_get_an_answer(http: Http, project: Project, params: dict[str, str]) -> None:
    for page in ("create_account", "lookup_account"):
        response = http.get(f"/p/{page}.php", params=params)
        assert response.status_code == 200
        assert response.text.startswith(("<error>", "<account_out>"))
