"""Every element of the scheduler reply comes when it must, in a form the client's parser takes (client/scheduler_op.cpp)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from boinc_server import code_sign, models, simulate, trickles
from sqlalchemy import insert

from .conftest import EMAIL, World


def joined_team(world: World) -> None:
    def join(tx: Any) -> None:
        team = tx.insert(insert(models.team), name="T & U", description="", joinable=1)
        tx.update(models.user, 1, teamid=team)

    world.transaction(join)


def with_user_prefs(world: World) -> None:
    world.set(
        models.user,
        global_prefs="<global_preferences>\n<mod_time>5000</mod_time>\n</global_preferences>\n",
        project_prefs="<project_preferences>\n<resource_share>70</resource_share>\n</project_preferences>\n",
    )


def with_trickle(world: World) -> None:
    world.rpc()
    world.configure(msg_to_host=True)
    world.transaction(lambda tx: trickles.send_down(tx, 1, "r_0", "<text>hi</text>"))


def with_file(name: str, text: str) -> Callable[[World], None]:
    def write(world: World) -> None:
        world.project.path(name).write_text(text)

    return write


def with_config(**options: Any) -> Callable[[World], None]:
    return lambda world: world.configure(**options)


def with_extra(text: str) -> Callable[[World], None]:
    def add(world: World) -> None:
        world.host.extra = text

    return add


def with_held(*names: str) -> Callable[[World], None]:
    return lambda world: world.host.held.extend(names)


def nothing(_: World) -> None: ...


CPID = re.compile(r"<cross_project_id>([0-9a-f]{32})</cross_project_id>")
TOP_LEVEL: list[tuple[str, Callable[[World], None], str]] = [
    ("scheduler_version", nothing, r"<scheduler_version>\d{3}</scheduler_version>\n"),
    ("dont_use_dcf", nothing, r"<dont_use_dcf/>\n"),
    ("master_url", nothing, r"<master_url>http://127\.0\.0\.1:\d+/p\d+/</master_url>\n"),
    ("project_name", nothing, r"<project_name>Conformance &amp; Co\.</project_name>\n"),
    ("request_delay", with_config(request_delay=9), r"<request_delay>9\.000000</request_delay>\n"),
    ("min_sendwork_interval", with_config(min_sendwork_interval=200), r"<request_delay>202\.000000</request_delay>\n"),
    ("next_rpc_delay", with_config(next_rpc_delay=5), r"<next_rpc_delay>5\.000000</next_rpc_delay>\n"),
    ("message", with_held("ghost"), r'<message priority="low">Result ghost is no longer usable</message>\n'),
    ("userid", nothing, r"<userid>1</userid>\n"),
    ("user_name", nothing, r"<user_name>Ann</user_name>\n"),
    ("user_total_credit", nothing, r"<user_total_credit>0\.000000</user_total_credit>\n"),
    ("user_expavg_credit", nothing, r"<user_expavg_credit>0\.000000</user_expavg_credit>\n"),
    ("user_create_time", nothing, r"<user_create_time>[1-9]\d{9}</user_create_time>\n"),
    ("email_hash", nothing, f"<email_hash>{hashlib.md5(EMAIL.encode(), usedforsecurity=False).hexdigest()}</email_hash>\n"),
    ("cross_project_id", nothing, CPID.pattern),
    ("external_cpid", nothing, r"<external_cpid>[0-9a-f]{32}</external_cpid>\n"),
    ("teamid", joined_team, r"<teamid>1</teamid>\n<team_name>T &amp; U</team_name>\n"),
    ("team_name", nothing, r"<team_name></team_name>\n"),
    ("hostid", nothing, r"<hostid>1</hostid>\n"),
    ("host_total_credit", nothing, r"<host_total_credit>0\.000000</host_total_credit>\n"),
    ("host_expavg_credit", nothing, r"<host_expavg_credit>0\.000000</host_expavg_credit>\n"),
    ("host_create_time", nothing, r"<host_create_time>[1-9]\d{9}</host_create_time>\n"),
    ("host_venue", lambda world: world.set(models.user, venue="school"), r"<host_venue>school</host_venue>\n"),
    ("global_preferences", with_user_prefs, r"<global_preferences>\n<mod_time>5000</mod_time>\n</global_preferences>\n"),
    ("project_preferences", with_user_prefs, r"<project_preferences>\n<resource_share>70</resource_share>\n</project_preferences>\n"),
    ("gui_urls", with_file("gui_urls.xml", "<gui_urls>\n</gui_urls>\n"), r"<gui_urls>\n</gui_urls>\n"),
    ("project_files", with_file("project_files.xml", "<project_files>\n</project_files>\n"), r"<project_files>\n</project_files>\n"),
    ("code_sign_key", nothing, r"<code_sign_key>\n1024\n(?:[0-9a-f]{64}\n){8}\.\n</code_sign_key>\n"),
    ("result_abort", with_held("ghost"), r"<result_abort>\n    <name>ghost</name>\n</result_abort>\n"),
    ("delete_file_info", with_extra("<file_info><name>old_1</name></file_info>"), r"<delete_file_info>old_1</delete_file_info>\n"),
    ("message_ack", with_extra("<msg_from_host>\n<variety>v</variety>\n</msg_from_host>\n"), r"<message_ack/>\n"),
    ("trickle_down", with_trickle, r"<trickle_down>\n<result_name>r_0</result_name>\n<time>\d+</time>\n<text>hi</text>\n</trickle_down>\n"),
    (
        "no_rsc_apps",
        with_extra("<coprocs><coproc_cuda><count>1</count></coproc_cuda></coprocs>"),
        r"<no_rsc_apps>NVIDIA</no_rsc_apps>\n",
    ),
    ("non_cpu_intensive", with_config(non_cpu_intensive=True), r"<non_cpu_intensive/>\n"),
    ("strict_memory_bound", with_config(strict_memory_bound=True), r"<strict_memory_bound/>\n"),
    ("verify_files_on_app_start", with_config(verify_files_on_app_start=True), r"<verify_files_on_app_start/>\n"),
    ("send_full_workload", with_config(workload_sim=True), r"<send_full_workload/>\n"),
    ("send_time_stats_log", with_config(request_time_stats_log=True), r"<send_time_stats_log>1</send_time_stats_log>\n"),
    ("send_job_log", with_config(send_job_log=9), r"<send_job_log>9</send_job_log>\n"),
    ("ended", with_config(ended=True), r"<ended>1</ended>\n"),
    ("rss_feeds", with_file("rss_feeds.xml", "<rss_feeds>\n</rss_feeds>\n"), r"<rss_feeds>\n</rss_feeds>\n"),
    (
        "trickle_up_urls",
        with_config(trickle_up_urls=["http://t.test/?a&b"]),
        r"<trickle_up_urls>\n<url>http://t\.test/\?a&amp;b</url>\n</trickle_up_urls>\n",
    ),
    ("symstore", with_config(symstore="http://s.test/"), r"<symstore>http://s\.test/</symstore>\n"),
]


@pytest.mark.parametrize(("element", "prepare", "expected"), TOP_LEVEL, ids=[row[0] for row in TOP_LEVEL])
def test_top_level_element(world: World, element: str, prepare: Callable[[World], None], expected: str) -> None:
    world.configure(do_file_delete_regex="old_.*")
    prepare(world)
    # Asking for work makes the code signing key due as well.
    world.host.code_sign_key = ""
    assert re.search(expected, world.rpc(1.0).text), element


def test_the_external_cpid_hides_the_internal_one(world: World) -> None:
    values = world.rpc().values
    expected = hashlib.md5((values["cross_project_id"] + EMAIL).encode(), usedforsecurity=False).hexdigest()
    assert values["external_cpid"] == expected


def test_project_is_down(world: World) -> None:
    world.configure(stop_sched=True)
    reply = world.rpc()
    assert reply.down
    assert reply.values["request_delay"] == "3600.000000"


def test_a_changed_key_with_its_signature(world: World) -> None:
    world.rpc(1.0)
    world.call(lambda: code_sign.change_key(world.project))
    assert re.search(r"<code_sign_key_signature>\n(?:[0-9a-f]{64}\n){4}\.\n</code_sign_key_signature>\n", world.rpc(1.0).text)


def test_the_log_of_time_statistics_is_asked_for_until_it_came(world: World) -> None:
    world.configure(request_time_stats_log=True)
    assert "<send_time_stats_log>" in world.rpc().text
    world.host.extra = "<time_stats_log>\n1700000000 power_on\n</time_stats_log>\n"
    assert "<send_time_stats_log>" not in world.rpc().text
    world.host.extra = ""
    assert "<send_time_stats_log>" not in world.rpc().text
    assert world.project.path("time_stats_log", "1", "1").read_text() == "1700000000 power_on"


def test_a_result_that_timed_out_is_aborted_if_not_started(world: World) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    world.set(models.result, server_state=5, outcome=4)
    assert f"<result_abort_if_not_started>\n    <name>{task.name}</name>\n</result_abort_if_not_started>\n" in world.rpc().text


def test_a_project_that_ended_says_so_to_strangers_too(world: World) -> None:
    world.configure(ended=True)
    world.host.authenticator = "x"
    assert "<ended>1</ended>" in world.rpc().text


# --- the description of work


def job_reply(world: World, **options: Any) -> str:
    world.add_job(**options)
    return world.rpc(1.0).text


def block(text: str, tag: str) -> str:
    found = re.search(f"<{tag}>\n(.*?)</{tag}>\n", text, re.DOTALL)
    assert found, tag
    return found.group(1)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("app", r"<name>uppercase</name>\s+<user_friendly_name>Upper case</user_friendly_name>\s+<non_cpu_intensive>0<"),
        ("app", r"<fraction_done_exact>0</fraction_done_exact>"),
        ("app_version", r"<app_name>uppercase</app_name>\n<version_num>100</version_num>"),
        ("app_version", rf"<platform>{simulate.PLATFORM}</platform>"),
        ("app_version", r"<avg_ncpus>1\.000000</avg_ncpus>"),
        ("app_version", r"<flops>[1-9]\d*\.\d+</flops>"),
        ("app_version", r"<file_ref>\n<file_name>uppercase_1</file_name>\n<main_program/>\n</file_ref>"),
        ("workunit", r"<name>uppercase_\w+</name>\s+<app_name>uppercase</app_name>"),
        ("workunit", r"<rsc_fpops_est>3600000000000\.0+</rsc_fpops_est>"),
        ("workunit", r"<rsc_fpops_bound>86400000000000\.0+</rsc_fpops_bound>"),
        ("workunit", r"<rsc_memory_bound>500000000\.0+</rsc_memory_bound>"),
        ("workunit", r"<rsc_disk_bound>1000000000\.0+</rsc_disk_bound>"),
        ("workunit", r"<file_ref>\s+<file_name>in_\w+</file_name>\s+<open_name>in</open_name>\s+</file_ref>"),
        ("result", r"<name>uppercase_\w+_0</name>"),
        ("result", r"<wu_name>uppercase_\w+</wu_name>"),
        ("result", r"<report_deadline>[1-9]\d{9}</report_deadline>"),
        ("result", rf"<platform>{simulate.PLATFORM}</platform>\s+<version_num>100</version_num>\s+<plan_class></plan_class>"),
        ("result", r"<file_name>uppercase_\w+_0_r\d+_0</file_name>\n<open_name>out</open_name>"),
    ],
)
def test_description_element(world: World, tag: str, expected: str) -> None:
    assert re.search(expected, block(job_reply(world), tag))


def test_input_files_are_described_with_everything_a_download_needs(world: World) -> None:
    world.add_job(b"hello")
    (task,) = world.rpc(1.0).tasks
    (file,) = task.inputs
    assert (file.nbytes, file.md5) == (5.0, "5d41402abc4b2a76b9719d911017c592")
    fanout = int(hashlib.md5(file.name.encode(), usedforsecurity=False).hexdigest()[1:8], 16) % 1024
    assert file.urls == [f"{world.url}download/{fanout:x}/{file.name}"]


def test_output_files_can_be_uploaded(world: World) -> None:
    world.add_job()
    (file,) = world.rpc(1.0).tasks[0].outputs
    assert "file_upload_handler" in file.urls[0]
    assert file.max_nbytes == 1e6
    assert re.fullmatch(r"(?:[0-9a-f]{64}\n){4}\.", file.xml_signature)


def test_the_deadline_is_now_plus_delay_bound(world: World) -> None:
    world.add_job(delay_bound=5000)
    now = world.call(world.project.clock.now)
    assert abs(world.rpc(1.0).tasks[0].deadline - now - 5000) < 30


def test_two_jobs_of_one_app_describe_it_once(world: World) -> None:
    world.add_job(b"one")
    world.add_job(b"two")
    text = world.rpc(1e6).text
    assert text.count("<workunit>") == 2
    assert text.count("<app>") == text.count("<app_version>") == 1


def test_a_result_is_acknowledged(world: World) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    assert f"<result_ack>\n    <name>{task.name}</name>\n</result_ack>\n" in world.rpc(finished=[world.compute(task)]).text


@pytest.mark.parametrize("version", [(7, 20, 5), (8, 0, 4), (8, 2, 15)])
def test_every_reply_obeys_the_clients_parser(world: World, version: tuple[int, int, int]) -> None:
    world.host.version = version
    world.add_job()
    for seconds in (0.0, 1.0, 1.0):
        simulate.check_form(world.rpc(seconds).text)
    for body in (b"", b"junk"):
        simulate.check_form(world.post(body).text)
    world.configure(stop_sched=True)
    simulate.check_form(world.rpc().text)
