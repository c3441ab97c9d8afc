"""The control interface over HTTP (ASGI, no sockets): what it does, and how it refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque

import httpx
import pytest
from boinc_server import events, models
from boinc_server.clock import ClockSpec
from boinc_server.control.app import make_app
from boinc_server.mail import Mailer
from boinc_server.registry import Registry
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError

SAMPLE = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
OUT = "<file_info>\n<name><OUTFILE_0/></name>\n<max_nbytes>9</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n<result>\n"
OUT += "<file_ref>\n<file_name><OUTFILE_0/></file_name>\n<open_name>out</open_name>\n</file_ref>\n</result>\n"


@pytest.fixture
def samples(tmp_path):
    directory = tmp_path / "samples" / "upper" / "1.0" / "x86_64-pc-linux-gnu"
    directory.mkdir(parents=True)
    (directory / "upper_1").write_bytes(b"API_VERSION_8.2.15\0")
    texts = tmp_path / "samples" / "upper" / "templates"
    texts.mkdir()
    (texts / "upper_in").write_text(SAMPLE)
    (texts / "upper_out").write_text(OUT)
    return tmp_path / "samples"


@pytest.fixture
def control(tmp_path, samples):
    registry = Registry(tmp_path / "data", "http://boinc.test/", Mailer())
    app = make_app(registry, "token", samples)
    with asyncio.Runner() as runner:

        def call(method, path, token="token", **options):
            async def send():
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
                    return await client.request(
                        method, path, headers={"Authorization": f"Bearer {token}"} | options.pop("headers", {}), **options
                    )

            return runner.run(send())

        call.registry = registry
        call.runner = runner
        yield call
        registry.close()


@pytest.fixture
def project(control):
    return control("POST", "/projects", json={"name": "p", "apps": ["upper"]}).json()


def test_the_token_is_needed_except_for_health(control):
    assert control("GET", "/health", token="wrong").json()["status"] == "ok"
    for token in ("wrong", "", "token2"):
        assert control("GET", "/projects", token=token).status_code == 401
    assert control("GET", "/projects").json() == []


def test_a_project_is_made_quickly_and_can_be_made_again(control):
    control.registry.keys.take()
    for _ in range(2):
        begun = time.perf_counter()
        made = control("POST", "/projects", json={"name": "p", "long_name": "Long", "config": {}})
        assert made.status_code == 201
        assert time.perf_counter() - begun < 1.0
        assert made.json()["master_url"] == "http://boinc.test/p/"
        assert control("DELETE", "/projects/p").status_code == 204
    assert control("GET", "/projects/p").status_code == 404


def test_a_job_from_nothing_to_its_rows(control, project):
    assert project["apps"] == ["upper"]
    content = base64.b64encode(b"hello").decode()
    made = control("POST", "/projects/p/work", json={"app": "upper", "inputs": [{"content_b64": content}], "options": {"priority": 3}})
    [wu] = made.json()["workunits"]
    assert wu["results"][0]["name"] == f"{wu['name']}_0"
    assert control("GET", f"/projects/p/workunits/{wu['id']}").json()["priority"] == 3
    [result] = control("GET", f"/projects/p/results?workunit={wu['id']}").json()
    assert result["server_state"] == 2
    assert control("GET", f"/projects/p/results/{result['id']}/outputs").json() == {}
    assert control("GET", f"/projects/p/results/{result['id']}/outputs/out").status_code == 404
    cancelled = control("POST", f"/projects/p/workunits/{wu['id']}/cancel").json()
    assert cancelled["error_mask"] & 16
    control.runner.run(asyncio.sleep(0.1))
    kinds = [json.loads(line)["kind"] for line in control("GET", "/projects/p/events").text.splitlines()]
    assert kinds == [
        "job.created",
        "result.created",
        "job.cancelled",
        "result.not_needed",
        "job.error",
        "job.assimilated",
        "job.files_deleted",
    ]
    assert control("GET", "/projects/p/results?count=1").json() == {"count": 1}


def test_many_jobs_at_once(control, project):
    made = control("POST", "/projects/p/work", json={"app": "upper", "name": "n", "count": 20, "inputs": [{"content_b64": "YQ=="}]})
    assert [w["name"] for w in made.json()["workunits"]] == [f"n_{i}" for i in range(20)]
    assert len(control("GET", "/projects/p/workunits?limit=5&offset=3").json()) == 5


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/projects", {"name": "../x"}, 422, "name"),
        ("POST", "/projects", {"name": "p"}, 409, "name"),
        ("POST", "/projects", {"name": "q", "config": {"no_such": 1}}, 422, "no_such"),
        ("POST", "/projects", {"name": "q", "config": {"daily_result_quota": -1}}, 422, "daily_result_quota"),
        ("POST", "/projects", {"name": "q", "clock": [0, 0, 0]}, 422, "clock"),
        ("POST", "/projects", {"name": "q", "apps": ["nope"]}, 422, None),
        ("POST", "/projects", {"nam": "q"}, 422, "name"),
        ("PUT", "/projects/p/clock", {"clock": [1, 2]}, 422, "clock"),
        ("PATCH", "/projects/p/config", {"stop_shed": True}, 422, "stop_shed"),
        ("PATCH", "/projects/p/config", ["x"], 422, None),
        ("POST", "/projects/p/apps", {"name": "x", "colour": 1}, 422, None),
        ("POST", "/projects/p/apps", {"name": "upper"}, 422, None),
        ("POST", "/projects/p/users", {"email": "no", "password": "secret"}, 422, None),
        ("POST", "/projects/p/users", {"email": "a@b.test\nBcc: x@y.z", "password": "secret"}, 422, None),
        ("POST", "/projects/p/work", {"app": "upper", "inputs": [{"content_b64": "!"}]}, 422, None),
        ("POST", "/projects/p/work", {"app": "upper", "inputs": ["missing"]}, 422, None),
        ("POST", "/projects/p/work", {"app": "upper", "count": 0}, 422, "count"),
        ("POST", "/projects/p/work", {"app": "upper", "options": {"min_quorum": 0}}, 422, "options.min_quorum"),
        ("POST", "/projects/p/work", {"app": "nope"}, 422, "app"),
        ("POST", "/projects/p/workunits/77/cancel", None, 422, "id"),
        ("GET", "/projects/p/workunits/77", None, 404, None),
        ("GET", "/projects/p/results?colour=red", None, 422, "colour"),
        ("GET", "/projects/p/results?workunit=x", None, 422, "workunit"),
        ("GET", "/projects/p/results?workunit=99999999999999999999", None, 422, None),
        ("POST", "/projects/p/messages", {"host": 2**70, "variety": "v", "xml": ""}, 422, None),
        ("GET", "/projects/p/events?since=x", None, 422, "since"),
        ("GET", "/projects/p/tables/sqlite_master", None, 404, None),
        ("PUT", "/projects/p/tree/keys/code_sign_private", {}, 422, "path"),
        ("PUT", "/projects/p/tree/apps/../keys/x", {}, 422, "path"),
        ("GET", "/projects/nope", None, 404, None),
        ("DELETE", "/projects/nope", None, 404, None),
        ("POST", "/nothing", {}, 404, None),
        ("PATCH", "/projects/p/apps/upper", {"beta": "yes"}, 422, "beta"),
        ("PATCH", "/projects/p/apps/upper", {"colour": 1}, 422, "colour"),
    ],
)
def test_what_is_wrong_is_named(control, project, method, path, body, status, field):
    response = control(method, path, json=body) if body is not None else control(method, path)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["message"]
    if field is not None:
        assert field in error["field"]


def test_a_body_that_is_not_json_is_told(control, project):
    response = control("POST", "/projects/p/work", content=b"{")
    assert (response.status_code, response.json()["error"]["kind"]) == (400, "bad_json")


def test_files_of_the_tree_make_app_versions(control, project):
    assert control("POST", "/projects/p/apps", json={"name": "mine", "weight": 2.0}).status_code == 201
    path = "/projects/p/tree/apps/mine/1.0/x86_64-pc-linux-gnu/mine_1"
    assert control("PUT", path, content=b"program", headers={"X-Mode": "0755"}).status_code == 201
    assert control("PUT", path, content=b"program", headers={"X-Mode": "rwx"}).status_code == 422
    assert control("GET", path).content == b"program"
    answer = control("POST", "/projects/p/update_versions").json()
    assert [(v["app"], v["version_num"]) for v in answer["app_versions"]] == [("mine", 100)]
    assert control("POST", "/projects/p/update_versions").json() == {"app_versions": [], "messages": []}


def test_clock_and_options_survive_a_restart(control, project, tmp_path):
    now = time.time()
    control("PUT", "/projects/p/clock", json={"clock": [now, 1.8e9, 60.0]})
    control("PATCH", "/projects/p/config", json={"one_result_per_user_per_wu": True})
    control.registry.close()
    again = Registry(tmp_path / "data", "http://boinc.test/", Mailer())
    again.load()
    assert again["p"].clock.spec.rate == 60.0
    assert again["p"].config.one_result_per_user_per_wu is True
    again.close()


def test_followers_get_events_as_they_happen(control, project):
    log = control.registry["p"].events

    async def follow():
        lines = []
        stream = log.follow(0)
        log.emit("first")
        lines.append(await anext(stream))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        log.emit("second")
        lines.append(await asyncio.wait_for(waiting, events.KEEP_ALIVE / 2))
        log.finish()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        return lines

    lines = control.runner.run(follow())
    assert [json.loads(line)["kind"] for line in b"".join(lines).splitlines()] == ["first", "second"]


def test_timers_fire_on_the_virtual_clock(control, project):
    """A deadline of an hour passes in a fraction of a second when the clock is fast."""
    control("POST", "/projects/p/work", json={"app": "upper", "inputs": [{"content_b64": "YQ=="}], "options": {"max_total_results": 3}})
    served = control.registry["p"]

    async def wait():
        now = served.clock.now()
        with served.transaction() as tx:
            tx.execute(update(models.result).values(server_state=4, hostid=1, report_deadline=tx.now + 3600))
            tx.execute(update(models.workunit).values(transition_time=tx.now + 3600))
        served.daemons.schedule(now + 3600)
        served.set_clock(ClockSpec(time.time(), now, 20000.0))
        for _ in range(200):
            await asyncio.sleep(0.01)
            if b"result.timed_out" in b"".join(served.events.since(0)):
                return True
        return False

    assert control.runner.run(wait())


def test_events_beyond_the_ring_come_from_the_file(control, project, monkeypatch):
    log = control.registry["p"].events
    log._ring = deque(log._ring, maxlen=5)
    for number in range(20):
        log.emit("tick", number=number)
    got = [json.loads(line) for line in log.since(2)]
    assert [e["seq"] for e in got] == list(range(3, log.last_seq + 1))


def test_a_database_failure_is_told_and_undone(control, project, monkeypatch):
    served = control.registry["p"]
    with pytest.raises(SQLAlchemyError), served.transaction() as tx:  # noqa: PT012 - the event comes first
        tx.emit("never")
        tx.execute(text("INSERT INTO nowhere VALUES (1)"))
    assert b"never" not in b"".join(served.events.since(0))
    assert control("GET", "/projects/p").status_code == 200
