"""What changes in an upstream project's database become events, and which."""

from collections.abc import Mapping

import pytest

from harness.project.upstream.journal import WATCHED, Change, ddl, translate

RESULT: Mapping[str, object] = {
    "id": 7,
    "name": "job_0",
    "workunitid": 3,
    "userid": 0,
    "hostid": 0,
    "server_state": 2,
    "outcome": 0,
    "client_state": 0,
    "exit_status": 0,
    "validate_state": 0,
    "granted_credit": 0.0,
    "sent_time": 0,
    "received_time": 0,
    "report_deadline": 0,
    "app_version_id": 0,
}
SENT = {**RESULT, "server_state": 4, "hostid": 5, "userid": 6, "sent_time": 1000, "report_deadline": 2000, "app_version_id": 9}
REPORTED = {**SENT, "server_state": 5, "outcome": 1, "received_time": 1100, "client_state": 5}
WORKUNIT: Mapping[str, object] = {
    "id": 3,
    "name": "job",
    "appid": 1,
    "canonical_resultid": 0,
    "canonical_credit": 0.0,
    "error_mask": 0,
    "assimilate_state": 0,
    "file_delete_state": 0,
}


def kinds(table: str, old: Mapping[str, object], **changes: object) -> list[str]:
    return [kind for kind, _ in translate(Change(1.0, table, old, {**old, **changes}), {1: "uppercase"})]


def events(table: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[tuple[str, dict[str, object]]]:
    return list(translate(Change(1.0, table, old, new), {1: "uppercase"}))


def test_a_result_is_created_sent_reported_and_granted_credit() -> None:
    about = {"result": 7, "name": "job_0", "workunit": 3}
    assert events("result", {}, RESULT) == [("result.created", about)]
    assert events("result", RESULT, SENT) == [("result.sent", {**about, "host": 5, "deadline": 2000, "app_version": 9})]
    assert events("result", SENT, REPORTED) == [
        ("result.reported", {**about, "host": 5, "outcome": 1, "exit_status": 0, "client_state": 5})
    ]
    assert events("result", REPORTED, {**REPORTED, "validate_state": 1, "granted_credit": 0.5}) == [
        ("result.valid", {**about, "host": 5}),
        ("credit.granted", {"result": 7, "name": "job_0", "host": 5, "user": 6, "amount": 0.5}),
    ]


@pytest.mark.parametrize(
    ("old", "changes", "kind"),
    [
        (SENT, {"server_state": 5, "outcome": 4}, "result.timed_out"),
        (SENT, {"server_state": 5, "outcome": 7, "received_time": 1200}, "result.detached"),
        (RESULT, {"server_state": 5, "outcome": 5}, "result.not_needed"),
        (SENT, {"sent_time": 1500, "report_deadline": 2500}, "result.resent"),
        ({**SENT, "server_state": 5, "outcome": 4}, {"outcome": 1, "received_time": 3000}, "result.reported"),
        (REPORTED, {"validate_state": 2}, "result.invalid"),
        (REPORTED, {"validate_state": 4}, "result.inconclusive"),
        (REPORTED, {"validate_state": 5}, "result.too_late"),
        (REPORTED, {"validate_state": 3}, "result.no_check"),
    ],
)
def test_other_ends_of_a_result(old: Mapping[str, object], changes: Mapping[str, object], kind: str) -> None:
    assert kinds("result", old, **changes) == [kind]


def test_what_says_nothing_gives_no_event() -> None:
    assert kinds("result", SENT, report_deadline=900) == [], "a result that cannot be sent again is made to time out"
    assert kinds("workunit", WORKUNIT, error_mask=2) == [], "the job has failed when it is ready to be assimilated"
    assert kinds("host", {"id": 1, "userid": 2, "domain_name": "a"}, domain_name="b") == []


def test_a_job_is_created_validated_assimilated_and_its_files_deleted() -> None:
    about = {"workunit": 3, "name": "job"}
    assert events("workunit", {}, WORKUNIT) == [("job.created", {**about, "app": "uppercase"})]
    done = {**WORKUNIT, "canonical_resultid": 7, "canonical_credit": 0.5, "assimilate_state": 1}
    assert events("workunit", WORKUNIT, done) == [("job.validated", {**about, "result": 7, "credit": 0.5})]
    assert events("workunit", done, {**done, "assimilate_state": 2}) == [("job.assimilated", about)]
    assert kinds("workunit", {**done, "assimilate_state": 2}, file_delete_state=2) == ["job.files_deleted"]


def test_a_job_fails_when_it_is_handed_to_the_assimilator_with_an_error() -> None:
    [(kind, fields)] = events("workunit", WORKUNIT, {**WORKUNIT, "error_mask": 2, "assimilate_state": 1})
    assert kind == "job.error"
    assert fields == {"workunit": 3, "name": "job", "error_mask": 2, "reason": "too many errors"}


def test_a_cancelled_job_says_so_once() -> None:
    assert kinds("workunit", WORKUNIT, error_mask=16) == ["job.cancelled"]
    assert kinds("workunit", {**WORKUNIT, "error_mask": 16}, error_mask=16, assimilate_state=1) == ["job.error"]


def test_people_hosts_and_trickles() -> None:
    user = {"id": 1, "email_addr": "a@b.test", "name": "A", "passwd_hash": "x", "email_validated": 0}
    assert events("user", {}, user) == [("account.created", {"user": 1, "email": "a@b.test", "name": "A"})]
    assert kinds("user", user, email_validated=1) == ["account.verified"]
    assert kinds("user", user, passwd_hash="y") == ["account.password"]
    assert kinds("host", {}, id=2, userid=1, domain_name="h") == ["host.created"]
    assert kinds("msg_from_host", {}, id=1, hostid=2, variety="v", xml="<a/>") == ["trickle.up"]
    [(_, trickle)] = events("msg_from_host", {}, {"id": 1, "hostid": 2, "variety": "v", "xml": "\n <result_name>job_0</result_name>\n"})
    assert trickle["result_name"] == "job_0"
    assert kinds("msg_to_host", {"id": 1, "hostid": 2, "handled": 0}, handled=1) == ["trickle.down"]


def test_every_watched_table_has_a_trigger_for_new_and_for_changed_rows() -> None:
    statements = list(ddl("p_1"))
    for table, columns in WATCHED.items():
        mine = [text for text in statements if f"ON `p_1`.`{table}` " in text]
        assert len(mine) == 2
        assert all(f"NEW.`{column}`" in text for text in mine for column in columns)
