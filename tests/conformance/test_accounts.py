"""Master page and account RPCs (client/scheduler_op.cpp, client/acct_setup.cpp, html/user/*.php)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from boinc_server import accounts, crypt, models
from boinc_server.hosts import weak_authenticator

from .conftest import EMAIL, PASSWORD_HASH, World

PIECE = 255
"""Bytes of the master page that a client looks at as one line."""


def scheduler_urls(page: bytes) -> list[str]:
    """What a client finds: it reads lines, long ones in pieces."""
    urls: list[str] = []
    for line in page.splitlines(keepends=True):
        for start in range(0, len(line), PIECE):
            piece = line[start : start + PIECE].decode("utf-8", "replace")
            urls += [url.strip() for url in re.findall("<scheduler>([^<]*)</scheduler>", piece)]
            urls += re.findall('<link rel="boinc_scheduler" href="([^"]*)">', piece)
    return urls


def test_a_client_finds_the_scheduler_on_the_master_page(world: World) -> None:
    assert set(scheduler_urls(world.get("").content)) == {world.project.scheduler_url}


def test_the_master_page_in_pieces_with_a_long_project_name(world: World) -> None:
    world.project.long_name = "<b>" + "ä" * 300
    assert set(scheduler_urls(world.get("").content)) == {world.project.scheduler_url}


def test_the_master_url_is_told_as_clients_write_it(world: World) -> None:
    text = world.get("get_project_config.php").text
    assert f"<master_url>{world.url}</master_url>" in text
    assert re.fullmatch(r"http://[a-z0-9.:]+/[A-Za-z0-9_-]+/", world.url)


CONFIG: list[tuple[dict[str, Any], str]] = [
    ({}, "<name>Conformance &amp; Co.</name>"),
    ({}, "<web_rpc_url_base>http://"),
    ({}, "<server_version>"),
    ({}, "<web_stopped>0</web_stopped>"),
    ({}, "<sched_stopped>0</sched_stopped>"),
    ({}, "<min_passwd_length>6</min_passwd_length>"),
    ({}, "<platform_name>x86_64-pc-linux-gnu</platform_name>"),
    ({"min_core_client_version": 70200}, "<min_client_version>70200</min_client_version>"),
    ({"stop_web": True}, "<error_num>-183</error_num>"),
    ({"stop_web": True}, "<web_stopped>1</web_stopped>"),
    ({"stop_sched": True}, "<sched_stopped>1</sched_stopped>"),
    ({"disable_account_creation": True}, "<account_creation_disabled/>"),
    ({"invite_codes": "x"}, "<account_creation_disabled/>"),
    ({"invite_codes": "x"}, "<invite_code_required/>"),
    ({"account_manager": True}, "<account_manager/>"),
    ({"min_passwd_length": 9}, "<min_passwd_length>9</min_passwd_length>"),
    ({}, "<platform_name>x86_64-pc-linux-gnu</platform_name><user_friendly_name>Linux"),
    ({}, "</platform>\n    </platforms>"),
]


@pytest.mark.parametrize(("config", "expected"), CONFIG)
def test_project_config(world: World, config: dict[str, Any], expected: str) -> None:
    world.configure(**config)
    text = world.get("get_project_config.php").text
    assert text.startswith("<project_config>")
    assert expected in text


HASH = PASSWORD_HASH
NEW = {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "B"}
RPCS: list[tuple[str, str, dict[str, str], dict[str, Any], int | None]] = [
    # id, RPC, parameters, configuration, error number (None: success)
    ("lookup", "lookup", {"email_addr": EMAIL, "passwd_hash": HASH}, {}, None),
    ("lookup, capitals", "lookup", {"email_addr": "ANN@Boinc.Test", "passwd_hash": HASH}, {}, None),
    ("lookup without password", "lookup", {"email_addr": EMAIL}, {}, None),
    ("lookup, unknown", "lookup", {"email_addr": "no@x.y", "passwd_hash": HASH}, {}, -136),
    ("lookup, unknown, no password", "lookup", {"email_addr": "no@x.y"}, {}, -136),
    ("lookup, wrong password", "lookup", {"email_addr": EMAIL, "passwd_hash": "0" * 32}, {}, -206),
    ("lookup, clear password", "lookup", {"email_addr": EMAIL, "passwd_hash": "secret"}, {}, -206),
    ("lookup, no address", "lookup", {}, {}, -1),
    ("lookup, down", "lookup", {"email_addr": EMAIL, "passwd_hash": HASH}, {"stop_web": True}, -183),
    ("create", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "B"}, {}, None),
    ("create, same password", "create", {"email_addr": EMAIL, "passwd_hash": HASH, "user_name": "Ann"}, {}, None),
    ("create, taken", "create", {"email_addr": EMAIL, "passwd_hash": "0" * 32, "user_name": "Ann"}, {}, -137),
    ("create, address", "create", {"email_addr": "b", "passwd_hash": HASH, "user_name": "B"}, {}, -205),
    ("create, header", "create", {"email_addr": "b@x.y\nBcc: c@x.y", "passwd_hash": HASH, "user_name": "B"}, {}, -205),
    ("create, empty name", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": ""}, {}, -188),
    ("create, markup name", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "<b>"}, {}, -188),
    ("create, numeric name", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "12"}, {}, -188),
    ("create, short hash", "create", {"email_addr": "b@x.y", "passwd_hash": "ab", "user_name": "B"}, {}, -1),
    ("create, disabled", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "B"}, {"disable_account_creation": True}, -1),
    ("create, invitation", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "B"}, {"invite_codes": "^q$"}, -1),
    ("create, not by RPC", "create", NEW, {"disable_account_creation_rpc": True}, -1),
    ("create, no consent", "create", NEW, {"account_creation_rpc_require_consent": True}, -242),
    ("create, consent of nobody", "create", {**NEW, "consent_flag": "1"}, {"account_creation_rpc_require_consent": True}, -242),
    ("create, consent", "create", {**NEW, "consent_flag": "1", "source": "GUI"}, {"account_creation_rpc_require_consent": True}, None),
    ("create, with a code", "create", {**NEW, "invite_code": "q"}, {"invite_codes": "^q$"}, None),
    ("create, unknown team", "create", {**NEW, "team_name": "none"}, {}, None),
    ("create, no address", "create", {"passwd_hash": HASH, "user_name": "B"}, {}, -1),
    ("create, no password", "create", {"email_addr": "b@x.y", "user_name": "B"}, {}, -1),
    ("create, no name", "create", {"email_addr": "b@x.y", "passwd_hash": HASH}, {}, -1),
    ("create, name with blanks around", "create", {**NEW, "user_name": " B"}, {}, -188),
    ("lookup, LDAP that is not there", "lookup", {"ldap_auth": "1", "ldap_uid": "ann", "passwd": "secret"}, {}, -1),
    ("create, down", "create", {"email_addr": "b@x.y", "passwd_hash": HASH, "user_name": "B"}, {"stop_web": True}, -183),
]


@pytest.mark.parametrize(("name", "rpc", "params", "config", "number"), RPCS, ids=[row[0] for row in RPCS])
def test_account_rpc(world: World, name: str, rpc: str, params: dict[str, str], config: dict[str, Any], number: int | None) -> None:
    world.configure(**config)
    response = world.get(f"{rpc}_account.php", params=params)
    assert response.status_code == 200, name
    if number is None:
        assert response.text.startswith("<account_out>")
        assert "<success/>" in response.text or re.search("<authenticator>[0-9a-f]{32}</authenticator>", response.text)
    else:
        assert re.match(rf"<error>\s*<error_num>{number}</error_num>\s*<error_msg>[^<]+</error_msg>\s*</error>", response.text)


def test_the_key_of_an_account_opens_it_as_a_password_does(world: World) -> None:
    sent = crypt.md5_text(world.user.authenticator + EMAIL)
    assert world.user.authenticator in world.get("lookup_account.php", params={"email_addr": EMAIL, "passwd_hash": sent}).text


def test_repeating_a_creation_gives_the_same_account(world: World) -> None:
    first, second = (world.get("create_account.php", params=NEW).text for _ in range(2))
    assert first == second


def test_the_terms_of_use_are_part_of_the_configuration(world: World) -> None:
    world.project.path("terms_of_use.txt").write_text("Be nice & kind.\n")
    assert "<terms_of_use>\nBe nice &amp; kind.\n" in world.get("get_project_config.php").text


def test_keys_and_ids_are_32_hex_digits(world: World) -> None:
    user = world.row(models.user)
    assert re.fullmatch("[0-9a-f]{32}", user.authenticator)
    assert re.fullmatch("[0-9a-f]{32}", user.cross_project_id)
    assert accounts.passwd_hash("ANN@boinc.test", "secret") == HASH
    assert weak_authenticator(user).startswith("1_")
