"""Scheduler RPCs over HTTP: who is who, what is refused, what is answered."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from boinc_server import accounts, code_sign, crypt, models, simulate, trickles
from boinc_server.clock import ClockSpec
from boinc_server.hosts import stored_cpid, weak_authenticator
from boinc_server.project import Project
from boinc_server.registry import Registry
from boinc_server.wire.reply import DELAY_MISSING_KEY, DELAY_UNACCEPTABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from .conftest import Http, Volunteer, add_job, add_user

URL = "/p_cgi/cgi"
BAD_KEY = "Invalid or missing account key"


def row(project: Project, table: Any, row_id: int) -> Any:
    with project.transaction() as tx:
        return tx.one(select(table).where(table.c.id == row_id))


def count(project: Project, table: Any) -> int:
    with project.transaction() as tx:
        found = tx.one(select(func.count()).select_from(table))
    assert found is not None
    return int(found[0])


def set_user(project: Project, **values: Any) -> None:
    with project.transaction() as tx:
        tx.execute(update(models.user).values(**values))


def set_host(project: Project, **values: Any) -> None:
    with project.transaction() as tx:
        tx.execute(update(models.host).values(**values))


def delay(reply: simulate.Reply) -> float:
    return float(reply.values.get("request_delay", "0"))


# --- a job


def test_a_job_from_work_request_to_validated(ann: Volunteer) -> None:
    project = ann.project
    workunit = add_job(project)
    (task,) = ann.rpc(1.0).tasks
    finished = ann.compute(task)
    reply = ann.rpc(finished=[finished])
    assert reply.acks == [task.name]
    assert row(project, models.workunit, workunit).canonical_resultid == 1
    kinds = [line.split(b'"kind":"')[1].split(b'"')[0].decode() for line in project.events.since(0)]
    order = [
        "job.created",
        "host.created",
        "result.sent",
        "rpc.scheduler",
        "download.done",
        "upload.done",
        "result.reported",
        "job.validated",
    ]
    assert [kind for kind in kinds if kind in order][: len(order)] == order


def test_stderr_and_output_description_are_stored(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    finished = ann.compute(task)
    finished.stderr = "odd </result> text &#195; <b>"
    ann.rpc(finished=[finished])
    result = row(ann.project, models.result, 1)
    assert "odd </result> text &#195; <b>" in result.stderr_out
    assert f"<name>{task.outputs[0].name}</name>" in result.xml_doc_out


# --- who is calling


def test_first_contact_makes_a_host_and_tells_its_id(ann: Volunteer) -> None:
    reply = ann.rpc()
    assert reply.values["hostid"] == "1"
    host = row(ann.project, models.host, 1)
    assert (host.userid, host.domain_name, host.p_ncpus, host.os_name) == (1, "host-1", 4, "Linux Debian")
    assert host.host_cpid == stored_cpid(ann.host.cpid, "ann@boinc.test") == crypt.md5_text(ann.host.cpid + "ann@boinc.test")
    assert host.external_ip_addr == "10.0.0.9"


def test_later_contacts_do_not_repeat_the_id(ann: Volunteer) -> None:
    ann.rpc()
    reply = ann.rpc()
    assert "hostid" not in reply.values
    assert count(ann.project, models.host) == 1


@pytest.mark.parametrize("key", ["", "x", "0" * 32, "1_" + "0" * 32, "99_" + "0" * 32, "x_y", "1_", "_1", "' OR 1=1 --", "1_" * 100])
def test_a_wrong_key_without_host(ann: Volunteer, key: str) -> None:
    ann.host.authenticator = key
    reply = ann.rpc(1.0)
    assert reply.says(BAD_KEY)
    assert delay(reply) == DELAY_MISSING_KEY
    assert "userid" not in reply.values
    assert "hostid" not in reply.values
    assert count(ann.project, models.host) == 0


def test_a_wrong_key_with_a_known_host_is_a_notice(ann: Volunteer) -> None:
    ann.rpc()
    ann.host.authenticator = "0" * 32
    reply = ann.rpc(1.0)
    assert [priority for priority, text in reply.messages if text.startswith(f'_("{BAD_KEY}')] == ["notice"]
    assert delay(reply) == DELAY_MISSING_KEY


def test_a_weak_key_works_with_and_without_host(ann: Volunteer) -> None:
    weak = weak_authenticator(row(ann.project, models.user, 1))
    assert re.fullmatch(r"1_[0-9a-f]{32}", weak)
    ann.host.authenticator = weak
    assert ann.rpc().values["userid"] == "1"
    assert ann.rpc().values["userid"] == "1"


def test_a_weak_key_dies_with_the_password(ann: Volunteer) -> None:
    ann.host.authenticator = weak_authenticator(row(ann.project, models.user, 1))
    set_user(ann.project, passwd_hash=accounts.stored_hash("0" * 32))
    assert ann.rpc().says(BAD_KEY)


def test_an_unknown_hostid_makes_a_new_host(ann: Volunteer) -> None:
    ann.host.hostid = 77
    reply = ann.rpc()
    assert reply.says("Can't find host record")
    assert reply.values["hostid"] == "1"


@pytest.mark.parametrize("hostid", ["-1", "0", "99999999999", "1 OR 1=1", "NaN"])
def test_forged_hostids_are_harmless(ann: Volunteer, hostid: str) -> None:
    body = ann.host.request().replace(b"<hostid>0</hostid>", f"<hostid>{hostid}</hostid>".encode())
    assert simulate.read_reply(ann.http.post(URL, body).content).values["hostid"] == "1"


def test_another_users_hostid_makes_a_host_of_ones_own(ann: Volunteer) -> None:
    ann.rpc()
    bob = Volunteer(ann.http, ann.project, add_user(ann.project, "bob@boinc.test", "Bob").authenticator, name="host-2")
    bob.host.hostid = 1
    bob.host.seqno = 50
    reply = bob.rpc(1.0)
    assert (reply.values["hostid"], reply.values["user_name"]) == ("2", "Bob")
    assert row(ann.project, models.host, 1).userid == 1
    assert row(ann.project, models.host, 1).rpc_seqno == 0


def test_a_sequence_number_that_goes_back_means_a_copied_state_file(ann: Volunteer) -> None:
    ann.rpc()
    ann.host.seqno = 10
    ann.rpc()
    ann.host.seqno = 3
    ann.host.name = "host-2"
    reply = ann.rpc()
    assert reply.values["hostid"] == "2"
    assert row(ann.project, models.host, 2).rpc_seqno == 0


def test_an_equal_sequence_number_is_fine(ann: Volunteer) -> None:
    ann.rpc()
    ann.host.seqno = 4
    ann.rpc()
    ann.host.seqno = 4
    assert "hostid" not in ann.rpc().values


def test_a_merged_host_is_forwarded(ann: Volunteer) -> None:
    ann.rpc()
    with ann.project.transaction() as tx:
        tx.insert(insert(models.host), userid=0, rpc_seqno=1)
    ann.host.hostid = 2
    reply = ann.rpc()
    assert reply.values["hostid"] == "1"


def test_a_loop_of_merged_hosts_ends(ann: Volunteer) -> None:
    with ann.project.transaction() as tx:
        tx.insert(insert(models.host), userid=0, rpc_seqno=2)
        tx.insert(insert(models.host), userid=0, rpc_seqno=1)
    ann.host.hostid = 1
    assert ann.rpc().values["hostid"] == "3"


def test_detach_and_attach_reuses_the_host_by_its_cpid_and_ends_its_results(ann: Volunteer) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    ann.host.hostid, ann.host.seqno, ann.host.held = 0, 0, []
    ann.host.name, ann.host.ip_addr = "renamed", "10.1.0.99"
    reply = ann.rpc()
    assert reply.values["hostid"] == "1"
    assert row(ann.project, models.result, 1).outcome == 7


def test_attach_with_results_in_hand_keeps_them(ann: Volunteer) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    ann.host.hostid, ann.host.seqno = 0, 0
    assert ann.rpc().values["hostid"] == "1"
    assert row(ann.project, models.result, 1).server_state == 4


@pytest.mark.parametrize("change", [{"ncpus": 8}, {"vendor": "x"}, {"model": "x"}, {"os_name": "x"}, {"os_version": "x"}])
def test_the_same_cpid_on_other_hardware_is_another_host(ann: Volunteer, change: dict[str, Any]) -> None:
    ann.rpc()
    ann.host.hostid, ann.host.name = 0, "other"
    for name, value in change.items():
        setattr(ann.host, name, value)
    assert ann.rpc().values["hostid"] == "2"


def test_a_similar_computer_is_the_same_host(ann: Volunteer) -> None:
    ann.rpc()
    ann.host.hostid, ann.host.cpid = 0, "f" * 32
    assert ann.rpc().values["hostid"] == "1"


def test_several_clients_on_one_computer_are_several_hosts(ann: Volunteer) -> None:
    ann.host.multiple_clients = True
    ann.rpc()
    ann.host.hostid, ann.host.cpid = 0, "f" * 32
    assert ann.rpc().values["hostid"] == "2"


def test_another_users_cpid_is_not_ours(ann: Volunteer) -> None:
    ann.rpc()
    bob = Volunteer(ann.http, ann.project, add_user(ann.project, "bob@boinc.test", "Bob").authenticator)
    assert bob.host.cpid == ann.host.cpid
    assert bob.rpc().values["hostid"] == "2"


def test_the_users_cpid_is_taken_from_the_client_but_not_with_a_weak_key(ann: Volunteer) -> None:
    ann.host.extra = f"<cross_project_id>{'a' * 32}</cross_project_id>\n"
    reply = ann.rpc()
    assert reply.values["cross_project_id"] == "a" * 32
    assert reply.values["external_cpid"] == hashlib.md5(b"a" * 32 + b"ann@boinc.test", usedforsecurity=False).hexdigest()
    ann.host.authenticator = weak_authenticator(row(ann.project, models.user, 1))
    ann.host.extra = f"<cross_project_id>{'b' * 32}</cross_project_id>\n"
    assert ann.rpc().values["cross_project_id"] == "a" * 32


# --- refusals


def test_a_project_that_is_down(ann: Volunteer) -> None:
    ann.project.configure({"stop_sched": True, "maintenance_delay": 1234})
    reply = ann.rpc(1.0)
    assert reply.down
    assert reply.says("Project is temporarily shut down for maintenance")
    assert delay(reply) == 1234
    assert "userid" not in reply.values


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"min_core_client_version": 80216}, '_("Your BOINC client software is too old.  Please install the current version.")'),
    ({"ban_os": ["^Linux"]}, '_("This project doesn\'t support operating system") Linux Debian'),
    ({"ban_cpu": ["Xeon"]}, '_("This project doesn\'t support CPU type") GenuineIntel Intel(R) Xeon'),
]


@pytest.mark.parametrize(("config", "message"), REFUSALS)
def test_bans_cost_a_day_and_give_no_work(ann: Volunteer, config: dict[str, Any], message: str) -> None:
    add_job(ann.project)
    ann.project.configure(config)
    reply = ann.rpc(1.0)
    assert reply.says(message)
    assert [priority for priority, text in reply.messages if message in text] == ["notice"]
    assert delay(reply) == DELAY_UNACCEPTABLE
    assert not reply.tasks


def test_a_banned_client_may_still_report(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    finished = ann.compute(task)
    ann.project.configure({"min_core_client_version": 80216})
    reply = ann.rpc(1.0, [finished])
    assert reply.acks == [task.name]
    assert not reply.tasks


def test_an_unsupported_platform(ann: Volunteer) -> None:
    ann.host.platforms = ("arm-android-linux-gnu",)
    reply = ann.rpc(1.0)
    assert reply.says('_("This project doesn\'t support computers of type") arm-android-linux-gnu')
    assert delay(reply) == DELAY_UNACCEPTABLE
    assert reply.values["userid"] == "1"


def test_clients_before_6_12_get_plain_words(ann: Volunteer) -> None:
    ann.host.platforms = ("vax",)
    ann.host.version = (6, 11, 9)
    assert ann.rpc(1.0).says("This project doesn't support computers of type vax")
    ann.host.version = (6, 12, 0)
    assert ann.rpc(1.0).says('_("This project doesn\'t support computers of type") vax')


def test_an_alternative_platform_is_enough(ann: Volunteer) -> None:
    add_job(ann.project)
    ann.host.platforms = ("new-platform", simulate.PLATFORM)
    assert ann.rpc(1.0).tasks


def test_a_blacklisted_host(ann: Volunteer) -> None:
    ann.rpc()
    set_host(ann.project, max_results_day=-1)
    reply = ann.rpc(1.0)
    assert reply.says("Not accepting requests from this host")
    assert delay(reply) == 86400


def test_missing_cpu_and_os_are_told(ann: Volunteer) -> None:
    ann.host.vendor = ann.host.os_name = ""
    reply = ann.rpc()
    assert reply.says("Missing CPU type in request")
    assert reply.says("Missing OS name in request")


def test_min_sendwork_interval(ann: Volunteer) -> None:
    add_job(ann.project)
    ann.project.configure({"min_sendwork_interval": 100})
    assert delay(ann.rpc()) == 101
    reply = ann.rpc(1.0)
    # 101 s less what the machine took since
    assert re.search(r"Not sending work. Last request too recent. Please wait (?:9\d|10[01]) seconds", reply.text)
    assert delay(reply) == 101
    assert not reply.tasks
    spec = ann.project.clock.spec
    ann.project.set_clock(ClockSpec(spec.origin_real, spec.origin_virtual + 200, spec.rate))
    assert ann.rpc(1.0).tasks


def test_an_upgrade_is_announced(ann: Volunteer) -> None:
    now = ann.project.clock.int_now()
    ann.project.configure({"min_core_client_version_announced": 90000, "min_core_client_upgrade_deadline": now + 10 * 86400})
    messages = ann.rpc().messages
    assert [priority for priority, text in messages if "will require a minimum BOINC version of 9.0.0" in text] == ["low"]
    ann.project.configure({"min_core_client_upgrade_deadline": now + 86400})
    messages = ann.rpc().messages
    assert [priority for priority, text in messages if "minimum BOINC version of 9.0.0" in text] == ["notice"]


MALFORMED = [b"", b"junk", b"<scheduler_request>", b"<scheduler_request><result>", b"\xff" * 100, b"<a>" * 1000]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_requests_are_answered_in_the_protocol(ann: Volunteer, body: bytes) -> None:
    response = ann.http.post(URL, body)
    assert response.status_code == 200
    reply = simulate.read_reply(response.content)
    assert reply.says("Error in request message: no ")
    assert "userid" not in reply.values


def test_a_browser_gets_an_answer_too(ann: Volunteer) -> None:
    assert simulate.read_reply(ann.http.get(URL).content).says("Error in request message: no start tag")


def test_a_big_request_is_read_like_a_small_one(ann: Volunteer) -> None:
    padding = "<unknown>x</unknown>\n" * 20_000
    ann.host.extra = padding
    assert ann.rpc().values["hostid"] == "1"
    response = ann.http.post(URL, f"<scheduler_request>{padding}".encode())
    assert simulate.read_reply(response.content).says("Error in request message: no end tag")


def test_a_body_that_is_too_big_is_413_and_the_server_goes_on(ann: Volunteer) -> None:
    assert ann.http.post(URL, b"x" * (33 * 1024 * 1024)).status_code == 413
    assert ann.rpc().values["userid"] == "1"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutilated_request_never_breaks_the_server(ann: Volunteer, data: st.DataObject) -> None:
    body = bytearray(ann.host.request(1.0))
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 60)))
        body[start:end] = data.draw(st.one_of(st.binary(max_size=30), st.sampled_from([b"<result>", b"'", b"-1", b"nan", b"\0", b"1e308"])))
    response = ann.http.post(URL, bytes(body))
    assert response.status_code == 200
    assert b"Traceback" not in response.content
    simulate.read_reply(response.content)


HOSTILE = ["'; DROP TABLE user; --", '" OR ""="', "a\r\nBcc: x@y.z", "<script>", "%s%n", "\\", "x" * 300, "\u202e", "😀"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_in_every_field(ann: Volunteer, text: str) -> None:
    for name in ("name", "os_name", "os_version", "vendor", "model", "ip_addr", "cpid"):
        setattr(ann.host, name, text)
    ann.host.extra = f"<client_brand>{simulate.escape(text)}</client_brand><cross_project_id>{simulate.escape(text)}</cross_project_id>"
    reply = ann.rpc(1.0, [simulate.Finished(text)])
    assert reply.values["userid"] == "1"
    assert count(ann.project, models.user) == 1


@pytest.mark.parametrize("number", ["1e308", "-1e308", "2147483647", "-2147483648", "1e-320"])
def test_extreme_numbers_in_every_field(ann: Volunteer, number: str) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    body = ann.host.request(1.0, [ann.compute(task)]).decode()
    keep = r"hostid|rpc_seqno|core_client_\w+|state|exit_status|nbytes"
    body = re.sub(rf"<(?!(?:{keep})>)(\w+)>[-0-9.e+]+</", rf"<\1>{number}</", body)
    body = body.replace("</coprocs>", f"<coproc_cuda><count>{number}</count><peak_flops>{number}</peak_flops></coproc_cuda></coprocs>")
    for _ in range(2):
        reply = simulate.read_reply(ann.http.post(URL, body.encode()).content)
        assert reply.values["userid"] == "1"
    host = row(ann.project, models.host, 1)
    assert -(2**31) <= host.p_ngpus < 2**31
    assert all(value - value == 0.0 for value in host if isinstance(value, float))
    user = row(ann.project, models.user, 1)
    assert 0 <= user.total_credit < 1e12


# --- reports


def test_an_unknown_result_is_acknowledged(ann: Volunteer) -> None:
    assert ann.rpc(finished=[simulate.Finished("never_heard_of")]).acks == ["never_heard_of"]


def test_another_users_result_is_acknowledged_and_ignored(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    bob = Volunteer(ann.http, ann.project, add_user(ann.project, "bob@boinc.test", "Bob").authenticator, name="host-2")
    reply = bob.rpc(finished=[simulate.Finished(task.name)])
    assert reply.acks == [task.name]
    assert row(ann.project, models.result, 1).server_state == 4


def test_a_result_reported_twice_counts_once(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    finished = ann.compute(task)
    ann.rpc(finished=[finished])
    before = row(ann.project, models.user, 1).total_credit
    assert ann.rpc(finished=[finished]).acks == [task.name]
    assert row(ann.project, models.user, 1).total_credit == before > 0


# --- what the host should give up


def test_an_unknown_held_result_is_aborted(ann: Volunteer) -> None:
    ann.host.held = ["ghost_0"]
    reply = ann.rpc()
    assert reply.aborts == ["ghost_0"]
    assert reply.says("Result ghost_0 is no longer usable")


def test_another_hosts_result_is_aborted(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    other = Volunteer(ann.http, ann.project, ann.host.authenticator, name="host-2", ip_addr="10.1.0.2")
    other.host.held = [task.name]
    assert other.rpc().aborts == [task.name]


def test_a_cancelled_jobs_result_is_aborted(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    with ann.project.transaction() as tx:
        tx.execute(update(models.workunit).values(error_mask=16))
    reply = ann.rpc()
    assert reply.aborts == [task.name]


@pytest.mark.parametrize(("table", "values"), [("workunit", {"assimilate_state": 2}), ("result", {"server_state": 5, "outcome": 4})])
def test_a_result_no_longer_needed_is_aborted_unless_started(ann: Volunteer, table: str, values: dict[str, int]) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    with ann.project.transaction() as tx:
        tx.execute(update(getattr(models, table)).values(**values))
    reply = ann.rpc()
    assert reply.aborts_if_not_started == [task.name]
    assert reply.aborts == []


def test_a_result_in_order_is_left_alone(ann: Volunteer) -> None:
    add_job(ann.project)
    ann.rpc(1.0)
    reply = ann.rpc()
    assert reply.aborts == reply.aborts_if_not_started == []


def test_aborts_can_be_switched_off(ann: Volunteer) -> None:
    ann.project.configure({"send_result_abort": False})
    ann.host.held = ["ghost_0"]
    assert ann.rpc().aborts == []


def test_a_lost_result_is_sent_again(ann: Volunteer) -> None:
    add_job(ann.project)
    (task,) = ann.rpc(1.0).tasks
    ann.host.held = []
    reply = ann.rpc(1.0)
    assert [again.name for again in reply.tasks] == [task.name]
    assert reply.says(f"Resent lost task {task.name}")


# --- keys


def test_the_code_sign_key_comes_with_the_first_work_request_only(ann: Volunteer) -> None:
    assert "<code_sign_key>" not in ann.rpc().text
    assert "<code_sign_key>" in ann.rpc(1.0).text
    assert "<code_sign_key>" not in ann.rpc(1.0).text
    assert ann.host.code_sign_key == ann.project.keys.code_sign.public.text().strip()


def test_a_changed_key_comes_signed_by_the_old_one(ann: Volunteer) -> None:
    ann.rpc(1.0)
    old = ann.project.keys.code_sign.public
    code_sign.change_key(ann.project)
    text = ann.rpc(1.0).text
    new = re.search(r"<code_sign_key>(.*?)</code_sign_key>", text, re.DOTALL)
    signature = re.search(r"<code_sign_key_signature>(.*?)</code_sign_key_signature>", text, re.DOTALL)
    assert new
    assert signature
    assert new.group(1).strip() == ann.project.keys.code_sign.public.text().strip()
    assert crypt.verify_text(new.group(1).strip(), signature.group(1), old)


def test_a_client_that_missed_a_change_gets_the_newest_key(ann: Volunteer) -> None:
    ann.rpc(1.0)
    first = ann.project.keys.code_sign.public
    code_sign.change_key(ann.project)
    code_sign.change_key(ann.project)
    text = ann.rpc(1.0).text
    signature = re.search(r"<code_sign_key_signature>(.*?)</code_sign_key_signature>", text, re.DOTALL)
    assert signature
    assert crypt.verify_text(ann.project.keys.code_sign.public.text().strip(), signature.group(1), first)


def test_a_key_we_never_had_stops_work(ann: Volunteer, registry: Registry) -> None:
    add_job(ann.project)
    ann.host.code_sign_key = registry.create("q").keys.code_sign.public.text().strip()
    reply = ann.rpc(1.0)
    assert reply.says("The project has changed its security key")
    assert not reply.tasks


def test_app_files_are_signed_again_with_the_new_key(ann: Volunteer) -> None:
    project = ann.project
    file = project.path("download", "uppercase_1")
    file.write_bytes(b"elf")
    with project.transaction() as tx:
        xml = row(project, models.app_version, 1).xml_doc
        old = f"<nbytes>3</nbytes>\n<file_signature>\n{crypt.sign_file(file, project.keys.code_sign)}</file_signature>"
        tx.execute(update(models.app_version).values(xml_doc=xml.replace("<nbytes>3</nbytes>", old)))
    code_sign.change_key(project)
    add_job(project)
    ann.host.code_sign_key = ""
    signature = ann.rpc(1.0).files["uppercase_1"].file_signature
    assert crypt.verify_file(file, signature, project.keys.code_sign.public)


def test_an_unannounced_change_stops_work(ann: Volunteer) -> None:
    ann.rpc(1.0)
    code_sign.change_key(ann.project, announce=False)
    assert ann.rpc(1.0).says("The project has changed its security key")


# --- preferences


def prefs(mod_time: float, gb: float = 7) -> str:
    return f"<mod_time>{mod_time:f}</mod_time>\n<disk_max_used_gb>{gb}</disk_max_used_gb>"


def test_newer_preferences_of_ours_are_sent(ann: Volunteer) -> None:
    set_user(ann.project, global_prefs=f"<global_preferences>\n{prefs(1000)}\n</global_preferences>\n")
    assert f"<global_preferences>\n{prefs(1000)}\n</global_preferences>" in ann.rpc().text


def test_newer_preferences_with_a_venue_are_sent_to_its_hosts(ann: Volunteer) -> None:
    ann.rpc()
    venue = '<venue name="school">\n<disk_max_used_gb>3</disk_max_used_gb>\n</venue>'
    set_user(ann.project, global_prefs=f"<global_preferences>\n{prefs(1000)}\n{venue}\n</global_preferences>\n")
    with ann.project.transaction() as tx:
        tx.execute(update(models.host).values(venue="school"))
    assert f"<global_preferences>\n{prefs(1000)}\n{venue}\n</global_preferences>" in ann.rpc().text


def test_older_preferences_of_ours_are_not_sent(ann: Volunteer) -> None:
    set_user(ann.project, global_prefs=f"<global_preferences>\n{prefs(1000)}\n</global_preferences>\n")
    body = ann.host.request().replace(b"<mod_time>0.000000</mod_time>", b"<mod_time>2000.0</mod_time>")
    assert b"<global_preferences>" not in ann.http.post(URL, body).content


def test_newer_preferences_of_the_same_account_are_kept(ann: Volunteer) -> None:
    email_hash = crypt.md5_text("ann@boinc.test")
    ann.host.extra = (
        f"<global_preferences>\n{prefs(3000)}\n</global_preferences>\n"
        f"<global_prefs_source_email_hash>{email_hash}</global_prefs_source_email_hash>\n"
    )
    ann.rpc()
    assert "<mod_time>3000.000000</mod_time>" in row(ann.project, models.user, 1).global_prefs


def test_broken_preferences_keep_nobody_out(ann: Volunteer) -> None:
    """A client's preferences are kept as they come, cut at 64 KiB: the owner's next contacts must get through all the same."""
    ann.host.extra = (
        f"<global_preferences>\n{prefs(3000)}\n<day_prefs>\n<end_hour>4</global_preferences>\n"
        f"<global_prefs_source_email_hash>{crypt.md5_text('ann@boinc.test')}</global_prefs_source_email_hash>\n"
    )
    ann.rpc()
    ann.host.extra = ""
    ann.http.post(URL, ann.host.request())
    add_job(ann.project)
    assert b"<result>" in ann.http.post(URL, ann.host.request(1.0)).content


def test_preferences_of_another_account_are_not_kept(ann: Volunteer) -> None:
    ann.host.extra = (
        f"<global_preferences>\n{prefs(3000)}\n</global_preferences>\n<global_prefs_source_email_hash>x</global_prefs_source_email_hash>"
    )
    ann.rpc()
    assert row(ann.project, models.user, 1).global_prefs == ""


def test_project_preferences_are_always_sent(ann: Volunteer) -> None:
    set_user(ann.project, project_prefs="<project_preferences>\n<resource_share>50</resource_share>\n</project_preferences>\n")
    assert "<project_preferences>\n<resource_share>50</resource_share>\n</project_preferences>" in ann.rpc().text


# --- trickles, files, flags


def test_a_trickle_up_is_stored_and_acknowledged(ann: Volunteer) -> None:
    ann.host.extra = "<msg_from_host>\n<result_name>r_0</result_name>\n<time>5</time>\n<variety>v</variety>\n<a>1</a>\n</msg_from_host>\n"
    assert "<message_ack/>" in ann.rpc().text
    message = row(ann.project, models.msg_from_host, 1)
    assert (message.hostid, message.variety, message.handled) == (1, "v", 0)
    assert "<a>1</a>" in message.xml


def test_a_trickle_down_is_sent_once(ann: Volunteer) -> None:
    ann.project.configure({"msg_to_host": True})
    ann.rpc()
    with ann.project.transaction() as tx:
        trickles.send_down(tx, 1, "r_0", "<stop/>")
    text = ann.rpc().text
    assert "<trickle_down>\n<result_name>r_0</result_name>\n<time>" in text
    assert "<trickle_down>" not in ann.rpc().text


def test_sticky_files_that_match_are_to_be_deleted(ann: Volunteer) -> None:
    ann.project.configure({"do_file_delete_regex": "big_.*"})
    names = ("big_1", "not_so_big_1", "small")
    ann.host.extra = "".join(f"<file_info><name>{name}</name></file_info>" for name in names)
    text = ann.rpc().text
    assert "<delete_file_info>big_1</delete_file_info>" in text
    assert "<delete_file_info>not_so_big_1</delete_file_info>" in text, "an expression need not match a name from its beginning"
    assert "small" not in text


def test_resources_without_apps_are_named_but_never_all(ann: Volunteer) -> None:
    gpu = "<coprocs><coproc_cuda><count>1</count><name>G</name></coproc_cuda></coprocs>"
    ann.host.extra = gpu
    assert "<no_rsc_apps>NVIDIA</no_rsc_apps>" in ann.rpc().text
    with ann.project.transaction() as tx:
        tx.execute(update(models.app_version).values(deprecated=1))
    ann.project.catalog.invalidate()
    assert "no_rsc_apps" not in ann.rpc().text


def test_a_master_url_that_moves_is_told_to_clients(ann: Volunteer, http: Http) -> None:
    ann.project.configure({"master_url": "http://new.boinc.test/p/"})
    assert ann.rpc().values["master_url"] == "http://new.boinc.test/p/"
    assert "<master_url>http://new.boinc.test/p/</master_url>" in http.get("/p/get_project_config.php").text


def test_a_non_cpu_intensive_job_comes_unasked_but_not_against_the_will(ann: Volunteer) -> None:
    with ann.project.transaction() as tx:
        tx.execute(update(models.app).values(non_cpu_intensive=1))
    ann.project.catalog.invalidate()
    add_job(ann.project)
    body = ann.host.request().replace(b"<dont_send_work>0<", b"<dont_send_work>1<")
    assert not simulate.read_reply(ann.http.post(URL, body).content).tasks
    assert ann.rpc().tasks


@pytest.mark.parametrize("flag", ["non_cpu_intensive", "strict_memory_bound"])
def test_flags_from_the_configuration(ann: Volunteer, flag: str) -> None:
    ann.project.configure({flag: True})
    assert f"<{flag}/>" in ann.rpc().text


def test_next_rpc_delay_and_request_delay(ann: Volunteer) -> None:
    ann.project.configure({"next_rpc_delay": 7, "request_delay": 11})
    reply = ann.rpc()
    assert (reply.values["next_rpc_delay"], delay(reply)) == ("7.000000", 11)


def test_gui_urls_and_project_files(ann: Volunteer) -> None:
    ann.project.path("gui_urls.xml").write_text("<gui_urls>\n<gui_url><url>http://x.test/?u=<userid/></url></gui_url>\n</gui_urls>\n")
    ann.project.path("project_files.xml").write_text("<project_files>\n</project_files>\n")
    text = ann.rpc().text
    assert "http://x.test/?u=1" in text
    assert "<project_files>\n</project_files>" in text


@pytest.mark.parametrize("content_type", ["text/xml", "application/x-www-form-urlencoded", ""])
def test_the_content_type_does_not_matter(ann: Volunteer, content_type: str) -> None:
    response = ann.http.post(URL, ann.host.request(), headers={"content-type": content_type})
    assert ann.host.accept(response.content).values["userid"] == "1"


def test_replies_are_compressed_for_those_who_accept_it(ann: Volunteer) -> None:
    body = ann.host.request()
    assert ann.http.post(URL, body, headers={"accept-encoding": "deflate, gzip"}).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in ann.http.post(URL, body, headers={"accept-encoding": "identity"}).headers


def test_every_rpc_is_an_event(ann: Volunteer) -> None:
    ann.rpc(1.0)
    ann.http.post(URL, b"junk")
    lines = [line for line in ann.project.events.since(0) if b"rpc.scheduler" in line]
    assert len(lines) == 2
    assert b'"error":"no start tag"' in lines[1]


def test_http_type(ann: Volunteer, http: Http) -> None:
    assert http.post(URL, ann.host.request()).headers["content-type"].startswith("text/xml")
    assert http("PUT", URL).status_code == 405


@pytest.mark.parametrize("option", ["ban_os", "ban_cpu", "invite_codes", "do_file_delete_regex"])
def test_a_pattern_that_is_none_is_refused_when_it_is_set(project: Project, option: str) -> None:
    value: Any = ["("] if option.startswith("ban") else "("
    with pytest.raises(ValueError, match="no regular expression"):
        project.configure({option: value})
