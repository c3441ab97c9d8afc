"""Replies obey the rules of the client's parser (lib/parse.cpp)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from boinc_server.wire.reply import DELAY_MAX, HostData, Message, SchedulerReply, UserData, escape
from hypothesis import given
from hypothesis import strategies as st

USER = UserData(7, "Ann & Bob", 1.5, 0.5, 1700000000, "e" * 32, "c" * 32, "x" * 32, teamid=3, team_name="<T>")
HOST = HostData(9, 2.5, 0.25, 1700000001, "home", send_id=True)


def text_of(**fields: Any) -> str:
    return SchedulerReply(project_name="P", master_url="http://boinc.test/p/", **fields).write().decode()


ELEMENTS: list[tuple[dict[str, Any], str]] = [
    ({}, "<scheduler_version>803</scheduler_version>"),
    ({}, "<dont_use_dcf/>"),
    ({}, "<master_url>http://boinc.test/p/</master_url>"),
    ({}, "<project_name>P</project_name>"),
    ({"request_delay": 7.0}, "<request_delay>7.000000</request_delay>"),
    ({"next_rpc_delay": 2.0}, "<next_rpc_delay>2.000000</next_rpc_delay>"),
    ({"messages": [Message("a<b", "notice")]}, '<message priority="notice">a&lt;b</message>'),
    ({"project_is_down": True}, "<project_is_down/>"),
    ({"ended": True}, "<ended>1</ended>"),
    ({"user": USER}, "<userid>7</userid>"),
    ({"user": USER}, "<user_name>Ann &amp; Bob</user_name>"),
    ({"user": USER}, "<user_total_credit>1.500000</user_total_credit>"),
    ({"user": USER}, "<user_expavg_credit>0.500000</user_expavg_credit>"),
    ({"user": USER}, "<user_create_time>1700000000</user_create_time>"),
    ({"user": USER}, f"<email_hash>{'e' * 32}</email_hash>"),
    ({"user": USER}, f"<cross_project_id>{'c' * 32}</cross_project_id>"),
    ({"user": USER}, f"<external_cpid>{'x' * 32}</external_cpid>"),
    ({"user": USER}, "<teamid>3</teamid>"),
    ({"user": USER}, "<team_name>&lt;T&gt;</team_name>"),
    ({"user": USER, "project_preferences": "<a>1</a>"}, "<project_preferences>\n<a>1</a>\n</project_preferences>"),
    ({"user": USER, "global_preferences": "<mod_time>1</mod_time>"}, "<global_preferences>\n<mod_time>1</mod_time>\n</global_preferences>"),
    ({"host": HOST}, "<hostid>9</hostid>"),
    ({"host": HOST}, "<host_total_credit>2.500000</host_total_credit>"),
    ({"host": HOST}, "<host_expavg_credit>0.250000</host_expavg_credit>"),
    ({"host": HOST}, "<host_create_time>1700000001</host_create_time>"),
    ({"host": HOST}, "<host_venue>home</host_venue>"),
    ({"code_sign_key": "1024\nab\n.\n"}, "<code_sign_key>\n1024\nab\n.\n</code_sign_key>"),
    ({"code_sign_key_signature": "ab\n.\n"}, "<code_sign_key_signature>\nab\n.\n</code_sign_key_signature>"),
    ({"result_acks": ["r_0"]}, "<result_ack>\n    <name>r_0</name>\n</result_ack>"),
    ({"result_aborts": ["r_0"]}, "<result_abort>\n    <name>r_0</name>\n</result_abort>"),
    ({"result_aborts_if_not_started": ["r"]}, "<result_abort_if_not_started>\n    <name>r</name>\n</result_abort_if_not_started>"),
    ({"delete_file_infos": ["big"]}, "<delete_file_info>big</delete_file_info>"),
    ({"message_ack": True}, "<message_ack/>"),
    ({"trickles_down": ["<trickle_down>\n<x/>\n</trickle_down>\n"]}, "<trickle_down>\n<x/>\n</trickle_down>"),
    ({"no_rsc_apps": ["NVIDIA"]}, "<no_rsc_apps>NVIDIA</no_rsc_apps>"),
    ({"send_full_workload": True}, "<send_full_workload/>"),
    ({"send_time_stats_log": True}, "<send_time_stats_log>1</send_time_stats_log>"),
    ({"send_job_log": 1}, "<send_job_log>1</send_job_log>"),
    ({"non_cpu_intensive": True}, "<non_cpu_intensive/>"),
    ({"strict_memory_bound": True}, "<strict_memory_bound/>"),
    ({"verify_files_on_app_start": True}, "<verify_files_on_app_start/>"),
    ({"trickle_up_urls": ["http://a.test/t"]}, "<trickle_up_urls>\n<url>http://a.test/t</url>\n</trickle_up_urls>"),
    ({"symstore": "http://s.test/"}, "<symstore>http://s.test/</symstore>"),
    ({"apps": ["<app>\n<name>u</name>\n</app>"]}, "<app>\n<name>u</name>\n</app>\n"),
    ({"app_versions": ["<app_version>\n</app_version>\n"]}, "<app_version>\n</app_version>\n"),
    ({"workunits": ["<workunit>\n</workunit>\n"]}, "<workunit>\n</workunit>\n"),
    ({"results": ["<result>\n</result>\n"]}, "<result>\n</result>\n"),
    ({"gui_urls": "<gui_urls>\n</gui_urls>"}, "<gui_urls>\n</gui_urls>\n"),
    ({"rss_feeds": "<rss_feeds>\n</rss_feeds>"}, "<rss_feeds>\n</rss_feeds>\n"),
    ({"project_files": "<project_files>\n</project_files>"}, "<project_files>\n</project_files>\n"),
]


@pytest.mark.parametrize(("fields", "expected"), ELEMENTS)
def test_element(fields: dict[str, Any], expected: str) -> None:
    text = text_of(**fields)
    assert expected in text
    assert text.startswith("<scheduler_reply>\n")
    assert text.endswith("</scheduler_reply>\n")


def test_a_known_host_is_not_told_its_id() -> None:
    assert "<hostid>" not in text_of(host=HostData(9))


def test_nucleus_only_has_neither_user_nor_host_nor_work() -> None:
    text = text_of(nucleus_only=True, user=USER, host=HOST, results=["<result>\n</result>"], messages=[Message("hi")])
    assert "hi" in text
    assert not re.search("<userid>|<host|<result>", text)


def test_a_project_that_is_down_says_nothing_else() -> None:
    text = text_of(project_is_down=True, user=USER, request_delay=3600.0)
    assert "<request_delay>3600.000000</request_delay>" in text
    assert "<userid>" not in text


def test_repeated_blocks_are_sent_once() -> None:
    assert text_of(apps=["<app>\n</app>\n"] * 3).count("<app>") == 1


@pytest.mark.parametrize(("interval", "delay"), [(0.0, None), (6.0, "7.000000"), (300.0, "303.000000")])
def test_min_sendwork_interval_forces_a_delay(interval: float, delay: str | None) -> None:
    text = SchedulerReply().write(interval).decode()
    assert ("<request_delay>" in text) == (delay is not None)
    if delay:
        assert f"<request_delay>{delay}<" in text


def test_delays_only_grow_and_end_at_two_days() -> None:
    reply = SchedulerReply()
    reply.set_delay(60)
    reply.set_delay(10)
    assert reply.request_delay == 60
    reply.set_delay(1e9)
    assert reply.request_delay == DELAY_MAX


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_strtod_would_choke_on_are_never_sent(value: float) -> None:
    assert "<host_total_credit>0.000000</host_total_credit>" in text_of(host=HostData(1, total_credit=value))


def test_long_messages_are_cut_between_characters() -> None:
    written = text_of(messages=[Message("&" * 2000)]).split('priority="low">')[1].split("</message>")[0]
    assert written
    assert written.replace("&amp;", "") == ""


@given(st.text(max_size=3000))
def test_no_message_can_break_out(text: str) -> None:
    written = text_of(messages=[Message(text)]).split("<message")[1].split("</message>")[0]
    assert written.startswith(' priority="low">')
    assert "<" not in written
    assert len(written.encode()) < 1024 + 20
    assert not re.search(r"&(?!(amp|lt|gt);)", written)


@given(st.text())
def test_escaped_text_has_no_markup(text: str) -> None:
    assert not set(escape(text)) & set("<>\0")
