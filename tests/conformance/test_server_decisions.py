"""Who is who, what is refused and for how long (sched/handle_request.cpp, sched/sched_main.cpp)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from boinc_server import models, simulate
from boinc_server.clock import ClockSpec
from boinc_server.hosts import weak_authenticator
from sqlalchemy import insert

from .conftest import World

DELAYS: list[tuple[str, dict[str, Any], dict[str, Any], float, str, str]] = [
    # id, configuration, changes of the machine, delay, priority, message
    ("no key", {}, {"authenticator": ""}, 3600, "low", "Invalid or missing account key"),
    ("wrong key", {}, {"authenticator": "0" * 32}, 3600, "low", "Invalid or missing account key"),
    ("old client", {"min_core_client_version": 90000}, {}, 86400, "notice", "Your BOINC client software is too old"),
    ("banned OS", {"ban_os": ["Linux.*6.1"]}, {}, 86400, "notice", '_("This project doesn\'t support operating system") Linux Debian'),
    ("banned CPU", {"ban_cpu": ["^GenuineIntel\t"]}, {}, 86400, "notice", '_("This project doesn\'t support CPU type") GenuineIntel'),
    ("platform", {}, {"platforms": ("vax",)}, 86400, "notice", '_("This project doesn\'t support computers of type") vax'),
    ("no vendor", {}, {"vendor": ""}, 0, "notice", "Missing CPU type in request"),
    ("no OS", {}, {"os_name": ""}, 0, "notice", "Missing OS name in request"),
    ("maintenance", {"stop_sched": True, "maintenance_delay": 777}, {}, 777, "low", "Project is temporarily shut down for maintenance"),
    ("too long", {"stop_sched": True, "maintenance_delay": 1e6}, {}, 172800, "low", "Project is temporarily shut down"),
]


@pytest.mark.parametrize(("name", "config", "machine", "delay", "priority", "message"), DELAYS, ids=[row[0] for row in DELAYS])
def test_refusals_and_their_delays(
    world: World, name: str, config: dict[str, Any], machine: dict[str, Any], delay: float, priority: str, message: str
) -> None:
    world.add_job()
    world.configure(**config)
    for attribute, value in machine.items():
        setattr(world.host, attribute, value)
    reply = world.rpc(1.0)
    assert float(reply.values.get("request_delay", 0)) == delay, name
    assert (priority, True) in [(kind, message in text) for kind, text in reply.messages]
    assert bool(reply.tasks) == (delay == 0)


def test_a_wrong_key_with_a_known_host_is_a_notice_without_user_data(world: World) -> None:
    world.rpc()
    world.host.authenticator = "f" * 32
    reply = world.rpc()
    assert [kind for kind, text in reply.messages if "Invalid or missing account key" in text] == ["notice"]
    assert not {"userid", "hostid", "host_total_credit"} & set(reply.values)


IDENTITY: list[tuple[str, dict[str, Any], str | None, int]] = [
    # id, what changes after the first contact, hostid told, hosts afterwards
    ("nothing", {}, None, 1),
    ("number goes up", {"seqno": 100}, None, 1),
    ("number goes back", {"seqno": -1, "name": "copy"}, "2", 2),
    ("number goes back on the same machine", {"seqno": -1}, "1", 1),
    ("unknown id", {"hostid": 99, "name": "x", "cpid": "b" * 32}, "2", 2),
    ("no id, same CPID", {"hostid": 0, "name": "renamed"}, "1", 1),
    ("no id, same CPID, other CPUs", {"hostid": 0, "name": "renamed", "ncpus": 64}, "2", 2),
    ("no id, new CPID, same machine", {"hostid": 0, "cpid": "b" * 32}, "1", 1),
    ("no id, new CPID, other memory", {"hostid": 0, "cpid": "b" * 32, "memory": 1e9}, "2", 2),
    ("no id, new CPID, other address", {"hostid": 0, "cpid": "b" * 32, "ip_addr": "10.9.9.9"}, "2", 2),
    ("several clients", {"hostid": 0, "cpid": "b" * 32, "multiple_clients": True}, "2", 2),
    ("id as octal", {"hostid": "01"}, None, 1),
    ("negative id", {"hostid": -1}, "1", 1),
    ("huge id", {"hostid": 2**40}, "1", 1),
]


@pytest.mark.parametrize(("name", "changes", "told", "hosts"), IDENTITY, ids=[row[0] for row in IDENTITY])
def test_host_identification(world: World, name: str, changes: dict[str, Any], told: str | None, hosts: int) -> None:
    world.rpc()
    world.host.seqno = 5
    world.rpc()
    for attribute, value in changes.items():
        setattr(world.host, attribute, world.host.seqno + value if attribute == "seqno" and value < 0 else value)
    if name.startswith("number goes back"):
        world.host.seqno = 2
    assert world.rpc().values.get("hostid") == told, name
    assert world.row(models.host, hosts) is not None
    assert world.row(models.host, hosts + 1) is None


def test_a_zombie_is_forwarded_to_the_host_it_was_merged_into(world: World) -> None:
    world.rpc()
    zombie = world.transaction(lambda tx: tx.insert(insert(models.host), userid=0, rpc_seqno=1))
    world.host.hostid, world.host.seqno = zombie, 9
    assert world.rpc().values["hostid"] == "1"


@pytest.mark.parametrize("with_host", [False, True])
def test_weak_authenticators(world: World, with_host: bool) -> None:
    if with_host:
        world.rpc()
    weak = weak_authenticator(world.row(models.user))
    assert re.fullmatch(r"1_[0-9a-f]{32}", weak)
    world.host.authenticator = weak
    assert world.rpc().values["userid"] == "1"
    world.host.authenticator = f"2{weak[1:]}"
    assert "userid" not in world.rpc().values


def test_detaching_ends_the_results_in_progress_and_makes_new_ones(world: World) -> None:
    world.add_job(max_error_results=3, max_total_results=3)
    (task,) = world.rpc(1.0).tasks
    world.host.hostid, world.host.held = 0, []
    world.rpc()
    first, second = world.row(models.result, 1), world.row(models.result, 2)
    assert (first.server_state, first.outcome) == (5, 7)
    assert (second.server_state, second.name) == (2, f"{task.wu_name}_1")


def test_no_work_right_after_the_last_rpc(world: World) -> None:
    world.configure(min_sendwork_interval=60)
    world.add_job()
    world.rpc()
    reply = world.rpc(1.0)
    assert reply.says("Not sending work. Last request too recent. Please wait")
    assert (reply.values["request_delay"], reply.tasks) == ("61.000000", [])
    spec = world.project.clock.spec
    world.call(lambda: world.project.set_clock(ClockSpec(spec.origin_real, spec.origin_virtual + 61, spec.rate)))
    assert world.rpc(1.0).tasks


def test_a_blacklisted_host(world: World) -> None:
    world.rpc()
    world.set(models.host, max_results_day=-1)
    reply = world.rpc(1.0)
    assert reply.says("Not accepting requests from this host")
    assert reply.values["request_delay"] == "86400.000000"


def test_reports_of_unknown_results_are_acknowledged(world: World) -> None:
    assert world.rpc(finished=[simulate.Finished("nothing_0")]).acks == ["nothing_0"]


def test_no_work_is_said_in_words(world: World) -> None:
    reply = world.rpc(1.0)
    assert reply.messages
    assert not reply.tasks


PREFERENCES: list[tuple[str, float, float, bool]] = [
    # id, modification time here, at the client, sent
    ("ours are newer", 2000, 1000, True),
    ("theirs are newer", 1000, 2000, False),
    ("equal", 1000, 1000, False),
    ("client has none", 1000, 0, True),
]


@pytest.mark.parametrize(("name", "ours", "theirs", "sent"), PREFERENCES, ids=[row[0] for row in PREFERENCES])
def test_preferences_are_sent_when_newer(world: World, name: str, ours: float, theirs: float, sent: bool) -> None:
    world.set(models.user, global_prefs=f"<global_preferences>\n<mod_time>{ours}</mod_time>\n</global_preferences>\n")
    body = world.host.request().replace(b"<mod_time>0.000000</mod_time>", f"<mod_time>{theirs}</mod_time>".encode())
    assert (b"<global_preferences>" in world.post(body).content) == sent, name


def two_jobs_of_which_one_is_held(world: World) -> None:
    world.host.ncpus = 1
    world.add_job(b"1")
    world.add_job(b"2")
    assert world.rpc(1.0).tasks


def one_job(**options: Any) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.add_job(**options)

    return prepare


def delayed(world: World) -> None:
    """The deadline counts only for a host that is busy already."""
    world.host.delay = 1e6
    world.add_job(delay_bound=3600)


MESSAGES: list[tuple[str, dict[str, Any], Callable[[World], None], str]] = [
    ("nothing to send", {}, lambda _: None, r"Project has no tasks available"),
    ("memory", {}, one_job(rsc_memory_bound=1e12), r"needs [\d.]+ MB RAM but only [\d.]+ MB is available for use"),
    ("disk", {}, one_job(rsc_disk_bound=1e15), r"needs [\d.]+ ?MB more disk space"),
    ("speed", {}, delayed, r"Tasks won't finish in time"),
    ("limit in progress", {"max_wus_in_progress": 1}, two_jobs_of_which_one_is_held, r"reached a limit on tasks in progress"),
    ("quota", {"daily_result_quota": 1}, two_jobs_of_which_one_is_held, r"finished a daily quota of 1 tasks"),
    ("no new tasks for a stranger's app", {"min_core_client_version": 90000}, one_job(), r"Your BOINC client software is too old"),
]


@pytest.mark.parametrize(("name", "config", "prepare", "message"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_why_no_work_is_sent(world: World, name: str, config: dict[str, Any], prepare: Callable[[World], None], message: str) -> None:
    world.configure(**config)
    prepare(world)
    reply = world.rpc(1.0)
    assert not reply.tasks, name
    assert re.search(message, " / ".join(text for _, text in reply.messages)), reply.messages
