"""Remote job submission: every command, who may do what, and hostile requests."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from typing import Any

import pytest
from boinc_server import crypt, models, submit
from boinc_server.wire import limits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from .conftest import Http, Volunteer, add_job, add_user

URL = "/p/submit_rpc_handler.php"


class Submitter:
    """Somebody who may submit jobs."""

    def __init__(self, volunteer: Volunteer) -> None:
        self.http, self.project = volunteer.http, volunteer.project
        self.user = add_user(self.project, "sue@boinc.test", "Sue")
        self.key: str = self.user.authenticator
        with self.project.transaction() as tx:
            submit.allow(tx, self.user.id)

    def __call__(self, command: str, inner: str = "", *, key: str | None = None) -> str:
        """The contents of the reply's element."""
        key = self.key if key is None else key
        xml = f"<{command}>\n<authenticator>{key}</authenticator>\n{inner}</{command}>"
        response = self.http("POST", URL, data={"request": xml})
        assert response.status_code == 200
        match = re.fullmatch(rf"<{command}>\n(.*)</{command}>\n", response.text, re.DOTALL)
        assert match, response.text
        return match.group(1)

    def error(self, command: str, inner: str = "", *, key: str | None = None) -> str:
        text = self(command, inner, key=key)
        match = re.fullmatch(r"<error>\n    <error_num>-1</error_num>\n    <error_msg>([^<]*)</error_msg>\n</error>\n", text)
        assert match, text
        return match.group(1)

    def batch(self, jobs: str = "", *, extra: str = "") -> int:
        text = self("submit_batch", f"<batch><app_name>uppercase</app_name>{extra}{jobs or job()}</batch>")
        match = re.fullmatch(r"<batch_id>(\d+)</batch_id>\n", text)
        assert match, text
        return int(match.group(1))

    def state(self, batch_id: int) -> int:
        match = re.search(r"<state>(\d)</state>", self("query_batch", f"<batch_id>{batch_id}</batch_id>"))
        assert match
        return int(match.group(1))


@pytest.fixture
def sue(ann: Volunteer) -> Submitter:
    return Submitter(ann)


def job(source: str = "hello", inner: str = "") -> str:
    return f"<job>{inner}<input_file><mode>inline</mode><source>{source}</source></input_file></job>"


def rows(submitter: Submitter, table: Any) -> list[Any]:
    with submitter.project.transaction() as tx:
        return tx.all(select(table).order_by(table.c.id))


def test_a_batch_from_submission_to_output(ann: Volunteer, sue: Submitter) -> None:
    batch = sue.batch(job("one") + job("two"), extra="<batch_name>My batch</batch_name>")
    text = sue("query_batch", f"<batch_id>{batch}</batch_id>")
    assert "<njobs>2</njobs>" in text
    assert "<name>My batch</name>" in text
    assert "<app_name>uppercase</app_name>" in text
    assert sue.state(batch) == 1
    finished = [ann.compute(task) for task in ann.rpc(10.0).tasks]
    while len(finished) < 2:
        finished += [ann.compute(task) for task in ann.rpc(10.0).tasks]
    with sue.project.transaction() as tx:  # no task has run longer than since it was sent
        tx.execute(update(models.result).values(sent_time=models.result.c.sent_time - 100), {})
    ann.rpc(finished=finished)
    text = sue("query_batch", "<batch_name>My batch</batch_name><get_cpu_time>1</get_cpu_time><get_job_details>1</get_job_details>")
    assert "<fraction_done>1</fraction_done>" in text
    assert text.count("<status>done</status>") == 2
    assert "<total_cpu_time>2.0</total_cpu_time>" in text
    assert sue.state(batch) == 2
    first = rows(sue, models.workunit)[0]
    assert "<state>Completed and validated</state>" in sue("query_job", f"<job_id>{first.id}</job_id>")
    completed = sue("query_completed_job", f"<job_name>{first.name}</job_name>")
    assert "<exit_status>0</exit_status>" in completed
    assert "<canonical_resultid>1</canonical_resultid>" in completed


def outputs_ready(ann: Volunteer, sue: Submitter) -> tuple[int, Any, Any]:
    """(batch, its job, the canonical result) with the output still there."""
    sue.project.configure({"dont_delete_files": True})
    batch = sue.batch(job("one"))
    (task,) = ann.rpc(1.0).tasks
    ann.rpc(finished=[ann.compute(task)])
    return batch, rows(sue, models.workunit)[0], rows(sue, models.result)[0]


def test_fetching_outputs(ann: Volunteer, sue: Submitter) -> None:
    batch, workunit, result = outputs_ready(ann, sue)

    def get(**params: Any) -> Any:
        return sue.http.get("/p/get_output.php", params=params)

    one = get(cmd="result_file", result_name=result.name, file_num=0, auth_str=crypt.md5_text(sue.key + result.name))
    assert (one.status_code, one.content) == (200, b"ONE")
    assert one.headers["content-disposition"] == f'attachment; filename="{result.name}__out"'
    assert get(cmd="workunit_file", wu_name=workunit.name, file_num=0, auth_str=sue.key).content == b"ONE"
    assert get(cmd="result", result_id=result.id, auth=sue.key).content == b"ONE"
    for answer in (
        get(cmd="batch_files", batch_id=batch, auth_str=crypt.md5_text(f"{sue.key}{batch}")),
        get(cmd="workunit_files", wu_id=workunit.id, auth_str=crypt.md5_text(f"{sue.key}{workunit.id}")),
    ):
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert [archive.read(name) for name in archive.namelist()] == [b"ONE"]


@pytest.mark.parametrize(
    "params",
    [
        {"cmd": "result_file", "result_name": "RESULT", "file_num": 0, "auth_str": "x"},
        {"cmd": "result_file", "result_name": "RESULT", "file_num": 0, "auth_str": ""},
        {"cmd": "result_file", "result_name": "RESULT", "file_num": 7, "auth_str": "KEY"},
        {"cmd": "result_file", "result_name": "RESULT", "file_num": "../x", "auth_str": "KEY"},
        {"cmd": "result_file", "result_name": "nothing", "file_num": 0, "auth_str": "KEY"},
        {"cmd": "batch_files", "batch_id": 99, "auth_str": "KEY"},
        {"cmd": "batch_files", "batch_id": 1, "auth_str": "OTHER"},
        {"cmd": "workunit_files", "wu_id": 1, "auth_str": "OTHER"},
        {"cmd": "nonsense", "auth_str": "KEY"},
        {},
    ],
)
def test_outputs_are_for_the_owner(ann: Volunteer, sue: Submitter, params: dict[str, Any]) -> None:
    _, _, result = outputs_ready(ann, sue)
    names = {"RESULT": result.name, "KEY": sue.key, "OTHER": ann.host.authenticator}
    response = sue.http.get("/p/get_output.php", params={key: names.get(str(value), value) for key, value in params.items()})
    assert response.status_code == 404
    assert b"ONE" not in response.content


def test_ping_needs_no_account(sue: Submitter) -> None:
    assert sue("ping", key="") == "<success>1</success>\n"


def test_create_batch_then_submit_into_it(sue: Submitter) -> None:
    text = sue("create_batch", "<app_name>uppercase</app_name><batch_name>B</batch_name><expire_time>5</expire_time>")
    assert text == "<batch_id>1</batch_id>\n"
    assert sue.state(1) == 0
    assert sue.batch(extra="<batch_id>1</batch_id>") == 1
    assert sue.state(1) == 1
    again = sue.error("submit_batch", f"<batch><app_name>uppercase</app_name><batch_id>1</batch_id>{job()}</batch>")
    assert again == "batch not in init state"


def test_parameters_of_batch_and_job(sue: Submitter) -> None:
    sue.batch(
        job("a", "<name>my_job</name><command_line>--x 1</command_line><rsc_fpops_est>7e9</rsc_fpops_est><priority>9</priority>")
        + job("b"),
        extra="<priority>4</priority><job_params><delay_bound>1000</delay_bound><rsc_memory_bound>1e8</rsc_memory_bound></job_params>",
    )
    first, second = rows(sue, models.workunit)
    assert (first.name, first.rsc_fpops_est, first.priority, first.delay_bound, first.rsc_memory_bound) == ("my_job", 7e9, 9, 1000, 1e8)
    assert "<command_line>\n--x 1\n</command_line>" in first.xml_doc or "<command_line>--x 1</command_line>" in first.xml_doc
    assert second.priority == 4
    assert first.batch == second.batch == 1


def test_allocation_priority_orders_batches(sue: Submitter) -> None:
    for _ in range(2):
        sue.batch(job("a", "<rsc_fpops_est>2e12</rsc_fpops_est>"), extra="<allocation_priority/>")
    first, second = rows(sue, models.workunit)
    assert second.priority < first.priority < 0


def test_remote_files(sue: Submitter) -> None:
    md5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    sue.batch(
        f"<job><input_file><mode>remote</mode><url>http://data.test/x?a=1&amp;b=2</url><nbytes>1</nbytes><md5>{md5}</md5></input_file></job>"
    )
    (workunit,) = rows(sue, models.workunit)
    assert "<url>http://data.test/x?a=1&amp;b=2</url>" in workunit.xml_doc


def test_templates_of_a_job_of_its_own(sue: Submitter) -> None:
    template = (
        "<input_template><file_info/><workunit><file_ref><open_name>other</open_name></file_ref>"
        "<rsc_fpops_est>5e9</rsc_fpops_est></workunit></input_template>"
    )
    sue.batch(job("a", template))
    assert "<open_name>other</open_name>" in rows(sue, models.workunit)[0].xml_doc


def test_estimate(sue: Submitter) -> None:
    text = sue("estimate_batch", f"<batch><app_name>uppercase</app_name>{job('a', '<rsc_fpops_est>2e12</rsc_fpops_est>')}</batch>")
    assert text == "<seconds>2000.0</seconds>\n"


def test_query_batches_leaves_out_the_retired(sue: Submitter) -> None:
    first, second = sue.batch(), sue.batch()
    assert sue("retire_batch", f"<batch_id>{first}</batch_id>") == "<success>1</success>\n"
    text = sue("query_batches", "<get_cpu_time>1</get_cpu_time>")
    assert f"<id>{second}</id>" in text
    assert f"<id>{first}</id>" not in text
    assert rows(sue, models.workunit)[0].error_mask & 16


def test_query_batch2(ann: Volunteer, sue: Submitter) -> None:
    sue.batch(job("a") + job("b"), extra="<batch_name>B</batch_name>")
    text = sue("query_batch2", "<batch_name>B</batch_name>")
    assert "<batch_size>2</batch_size>" in text
    assert text.count("<status>UNSENT</status>") == 2
    ann.rpc(1.0)
    assert "<status>IN_PROGRESS</status>" in sue("query_batch2", "<batch_name>B</batch_name>")
    assert "<batch_size>0</batch_size>" in sue("query_batch2", "<batch_name>B</batch_name><min_mod_time>4e9</min_mod_time>")


def test_abort_batch(ann: Volunteer, sue: Submitter) -> None:
    batch = sue.batch(job("a") + job("b"))
    ann.rpc(1.0)
    assert sue("abort_batch", f"<batch_id>{batch}</batch_id>") == "<success>1</success>\n"
    assert all(workunit.error_mask & 16 for workunit in rows(sue, models.workunit))
    assert sue.state(batch) == 3
    assert ann.rpc().aborts


def test_abort_jobs(sue: Submitter) -> None:
    sue.batch(job("a", "<name>ja</name>") + job("b", "<name>jb</name>"))
    assert "<success>1</success>" in sue("abort_jobs", "<job_name>jb</job_name>")
    assert [workunit.error_mask & 16 for workunit in rows(sue, models.workunit)] == [0, 16]
    assert "<status>error</status>" in sue("query_batch", "<batch_id>1</batch_id><get_job_details>1</get_job_details>")


def test_set_expire_time(sue: Submitter) -> None:
    batch = sue.batch()
    assert sue("set_expire_time", f"<batch_id>{batch}</batch_id><expire_time>123</expire_time>") == "<success>1</success>\n"
    assert rows(sue, models.batch)[0].expire_time == 123


def test_get_templates(sue: Submitter) -> None:
    assert "<OUTFILE_0/>" in sue("get_templates", "<app_name>uppercase</app_name>")
    sue.batch(job("a", "<name>ja</name>"))
    assert "<open_name>in</open_name>" in sue("get_templates", "<job_name>ja</job_name>")


ERRORS: list[tuple[str, str, str]] = [
    ("nonsense", "", "bad command"),
    ("query_batch", "", "batch not specified"),
    ("query_batch", "<batch_id>99</batch_id>", "no such batch"),
    ("query_batch", "<batch_id>x</batch_id>", "batch_id is no number: x"),
    ("query_batch", "<batch_id>1.5</batch_id>", "batch_id is no whole number"),
    ("query_batch", "<batch_id>nan</batch_id>", "batch_id is no number: nan"),
    ("query_batch2", "<batch_name>no</batch_name>", "no batch named no"),
    ("query_job", "<job_id>99</job_id>", "no such job"),
    ("query_completed_job", "<job_name>x</job_name>", "no such job"),
    ("abort_jobs", "<job_name>x</job_name>", "no job x"),
    ("create_batch", "<app_name>no</app_name>", "app not found: no"),
    ("get_templates", "<job_name>no</job_name>", "job not found: no"),
    ("submit_batch", "", "no batch in request"),
    ("submit_batch", "<batch><app_name>no</app_name></batch>", "app not found: no"),
    ("submit_batch", "<batch><app_name>uppercase</app_name><batch_id>9</batch_id></batch>", "no batch 9"),
    ("submit_batch", "<batch><app_name>uppercase</app_name><job></job></batch>", "create_work failed"),
    ("submit_batch", f"<batch><app_name>uppercase</app_name>{job('a', '<name>../x</name>')}</batch>", "create_work failed"),
    ("submit_batch", f"<batch><app_name>uppercase</app_name>{job('a', '<rsc_fpops_est>-1</rsc_fpops_est>')}</batch>", "create_work failed"),
    ("estimate_batch", f"<batch><app_name>uppercase</app_name>{job()}</batch>", "no rsc_fpops_est given for job"),
]


@pytest.mark.parametrize(("command", "inner", "message"), ERRORS)
def test_errors(sue: Submitter, command: str, inner: str, message: str) -> None:
    if command == "nonsense":
        assert "<error_msg>bad command</error_msg>" in sue.http("POST", URL, data={"request": "<nonsense/>"}).text
        return
    assert sue.error(command, inner).startswith(message)


@pytest.mark.parametrize(
    ("mode", "source"),
    [("local", "/etc/passwd"), ("semilocal", "http://127.0.0.1:8081/"), ("sandbox", "x"), ("local_staged", "../keys/code_sign_private"),
     ("local_staged", "not_there"), ("", "x")],
)  # fmt: skip
def test_files_the_server_will_not_read(sue: Submitter, mode: str, source: str) -> None:
    inner = f"<job><input_file><mode>{mode}</mode><source>{source}</source></input_file></job>"
    sue.error("submit_batch", f"<batch><app_name>uppercase</app_name>{inner}</batch>")
    assert rows(sue, models.workunit) == []
    assert rows(sue, models.batch) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://x/</url><executable/>", "http://x/ y", "", "javascript:1", "http://x/\n"])
def test_remote_urls_cannot_smuggle_markup(sue: Submitter, url: str) -> None:
    escaped = url.replace("<", "&lt;")
    file = f"<input_file><mode>remote</mode><url>{escaped}</url><nbytes>1</nbytes><md5>{'0' * 32}</md5></input_file>"
    text = sue("submit_batch", f"<batch><app_name>uppercase</app_name><job>{file}</job></batch>")
    assert ("<error_num>" in text) == (url != "http://x/\n")
    assert not any("<executable/>" in workunit.xml_doc for workunit in rows(sue, models.workunit))


def test_a_command_line_cannot_smuggle_markup(ann: Volunteer, sue: Submitter) -> None:
    sue.batch(job("a", "<command_line>&lt;/command_line&gt;&lt;/workunit&gt;&lt;evil/&gt;</command_line>"))
    assert "<evil/>" not in ann.rpc(1.0).text


def test_a_batch_is_created_as_a_whole_or_not_at_all(sue: Submitter) -> None:
    sue.error("submit_batch", f"<batch><app_name>uppercase</app_name>{job()}<job></job></batch>")
    assert rows(sue, models.batch) == []
    assert rows(sue, models.workunit) == []


# --- permissions


def test_no_key_wrong_key_no_rights(ann: Volunteer, sue: Submitter) -> None:
    batch = f"<batch><app_name>uppercase</app_name>{job()}</batch>"
    assert sue.error("submit_batch", batch, key="") == "no authenticator"
    assert sue.error("submit_batch", batch, key="0" * 32) == "bad authenticator"
    assert sue.error("submit_batch", batch, key=ann.host.authenticator) == "no submit access"
    assert sue.error("query_batches", key=ann.host.authenticator) == "no file access"


def test_rights_for_one_app(sue: Submitter) -> None:
    with sue.project.transaction() as tx:
        submit.allow(tx, sue.user.id, [99])
    assert sue.error("submit_batch", f"<batch><app_name>uppercase</app_name>{job()}</batch>") == "no submit access"
    with sue.project.transaction() as tx:
        submit.allow(tx, sue.user.id, [1])
    assert sue.batch()


def test_limit_on_jobs_in_progress(sue: Submitter) -> None:
    with sue.project.transaction() as tx:
        submit.allow(tx, sue.user.id, max_jobs_in_progress=2)
    sue.batch(job("a") + job("b"))
    assert sue.error("submit_batch", f"<batch><app_name>uppercase</app_name>{job()}</batch>") == "limit on jobs in progress exceeded"


@pytest.mark.parametrize("command", ["query_batch", "abort_batch", "retire_batch", "set_expire_time"])
def test_anothers_batch(sue: Submitter, command: str) -> None:
    batch = sue.batch(job("a", "<name>ja</name>"))
    bob = add_user(sue.project, "bob@boinc.test", "Bob")
    with sue.project.transaction() as tx:
        submit.allow(tx, bob.id)
    key = bob.authenticator
    assert sue.error(command, f"<batch_id>{batch}</batch_id>", key=key) == "not owner of batch"
    assert sue.error("query_job", "<job_id>1</job_id>", key=key) == "not owner"
    assert sue.error("query_completed_job", "<job_name>ja</job_name>", key=key) == "not owner"
    assert sue.error("abort_jobs", "<job_name>ja</job_name>", key=key) == "not owner of batch"
    assert (
        sue.error("submit_batch", f"<batch><app_name>uppercase</app_name><batch_id>{batch}</batch_id></batch>", key=key)
        == "not owner of batch"
    )
    assert rows(sue, models.workunit)[0].error_mask == 0


def test_a_job_outside_batches_is_nobodys(sue: Submitter) -> None:
    add_job(sue.project)
    assert sue.error("query_job", "<job_id>1</job_id>") == "not owner"


# --- job files


def files(sue: Submitter, command: str, inner: str, contents: list[bytes] | None = None) -> str:
    xml = f"<{command}><authenticator>{sue.key}</authenticator>{inner}</{command}>"
    attached = {f"file_{number}": (f"f{number}", content) for number, content in enumerate(contents or [])}
    if contents is None:
        return str(sue.http("POST", "/p/job_file.php", data={"request": xml}).text)
    return str(sue.http("POST", "/p/job_file.php", data={"request": xml}, files=attached).text)


def test_job_files(sue: Submitter) -> None:
    names = "<phys_name>data_a</phys_name><phys_name>data_b</phys_name>"
    assert "<file>0</file>\n<file>1</file>" in files(sue, "query_files", names)
    assert files(sue, "upload_files", names, [b"AAA", b"BBB"]) == "<upload_files>\n<success/>\n</upload_files>\n"
    assert "<file>" not in files(sue, "query_files", f"<delete_time>99</delete_time>{names}")
    assert [(row.name, row.delete_time) for row in rows(sue, models.job_file)] == [("data_a", 99.0), ("data_b", 99.0)]
    sue.batch("<job><input_file><mode>local_staged</mode><source>data_a</source></input_file></job>")
    assert "data_a" in rows(sue, models.workunit)[0].xml_doc


def test_job_files_belong_to_batches(sue: Submitter) -> None:
    batch = sue.batch()
    inner = f"<batch_id>{batch}</batch_id><phys_name>data_a</phys_name>"
    assert "<success/>" in files(sue, "upload_files", inner, [b"A"])
    assert "<file>" not in files(sue, "query_files", inner)
    with sue.project.transaction() as tx:
        found = tx.one(select(func.count().label("n")).select_from(models.batch_file_assoc))
    assert found is not None
    assert found.n == 1
    with sue.project.transaction() as tx:
        tx.execute(update(models.batch).values(user_id=99))
    assert "not owner of batch" in files(sue, "query_files", inner)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a%2e", "x" * 300, ".hidden", "a\x01b"])
def test_bad_names_of_job_files(sue: Submitter, name: str) -> None:
    for command, contents in (("query_files", None), ("upload_files", [b"x"])):
        text = files(sue, command, f"<phys_name>{name}</phys_name>", contents)
        assert "bad filename" in text or "can't parse" in text


def test_a_job_file_never_changes(sue: Submitter) -> None:
    assert "<success/>" in files(sue, "upload_files", "<phys_name>data_a</phys_name>", [b"A"])
    assert "<success/>" in files(sue, "upload_files", "<phys_name>data_a</phys_name>", [b"A"])
    assert "file immutability violation for data_a" in files(sue, "upload_files", "<phys_name>data_a</phys_name>", [b"B"])


def test_numbers_of_names_and_files_must_agree(sue: Submitter) -> None:
    assert "# of uploaded files (2)" in files(sue, "upload_files", "<phys_name>data_a</phys_name>", [b"A", b"B"])
    assert "no such action" in files(sue, "delete_files", "")


# --- hostile requests


def test_only_those_who_may_upload_files_can_send_big_forms(sue: Submitter) -> None:
    big = b"x" * (limits.MAX_FORM + 2**20)
    assert files(sue, "upload_files", "<phys_name>data_a</phys_name>", [big]) == "<upload_files>\n<success/>\n</upload_files>\n"
    sue.key = "0" * 32
    assert "body of more than" in files(sue, "upload_files", "<phys_name>data_b</phys_name>", [big])


BOMBS = [
    '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ping>&b;</ping>',
    '<!DOCTYPE x SYSTEM "file:///etc/passwd"><ping/>',
    '<?xml version="1.0" encoding="UTF-7"?><ping>',
    "<a>" * 5000,
    "<ping" + " a='1'" * 10,
    "",
    "ping",
    "<ping/><ping/>",
    "\ufffe<ping/>",
    "<x:ping xmlns:x='y'><a/></x:ping>",
]


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_are_refused(sue: Submitter, text: str) -> None:
    response = sue.http("POST", URL, data={"request": text})
    assert response.status_code == 200
    assert "can&#x27;t parse" in response.text or "can't parse request message" in response.text
    assert "root:" not in response.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inner=st.text(max_size=80), command=st.sampled_from(sorted(submit.rpcs.COMMANDS)))
def test_any_text_gets_an_answer(sue: Submitter, inner: str, command: str) -> None:
    xml = f"<{command}><authenticator>{sue.key}</authenticator>{inner}</{command}>"
    response = sue.http("POST", URL, data={"request": xml.encode("utf-8", "replace")})
    assert response.status_code == 200
    assert "Traceback" not in response.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_any_multipart_body_gets_an_answer(sue: Submitter, body: bytes) -> None:
    for content in (body, b"--b\r\n" + body + b"\r\n--b--\r\n"):
        response = sue.http.post("/p/job_file.php", content, headers={"content-type": "multipart/form-data; boundary=b"})
        assert response.status_code in {200, 400}


def test_multipart_without_boundary(http: Http, sue: Submitter) -> None:
    assert http.post("/p/job_file.php", b"x", headers={"content-type": "multipart/form-data"}).status_code == 400
