"""The public port: downloads, unknown paths, master page, limits."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from boinc_server import master, storage, work
from boinc_server.project import Project
from boinc_server.public import make_app
from boinc_server.registry import Registry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Http

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def url(project: Project) -> str:
    work.stage_file(project, "data_1", CONTENT)
    return storage.download_url(project, "data_1")


def test_a_whole_file(http: Http, url: str) -> None:
    response = http.get(url)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-length"] == str(len(CONTENT))
    assert "content-encoding" not in response.headers


RANGES: list[tuple[str, int, int, int]] = [
    ("bytes=100-", 206, 100, 2560),
    ("bytes=0-", 206, 0, 2560),
    ("bytes=0-99", 206, 0, 100),
    ("bytes=2559-", 206, 2559, 2560),
    ("bytes=5-99999", 206, 5, 2560),
    ("bytes=-10", 206, 2550, 2560),
    ("bytes=-99999", 206, 0, 2560),
    ("bytes=9-5", 200, 0, 2560),
    ("bytes=0-1,5-6", 200, 0, 2560),
    ("lines=1-2", 200, 0, 2560),
    ("bytes=-", 200, 0, 2560),
    ("bytes=x-y", 200, 0, 2560),
    ("", 200, 0, 2560),
]


@pytest.mark.parametrize(("header", "status", "start", "end"), RANGES)
def test_ranges(http: Http, url: str, header: str, status: int, start: int, end: int) -> None:
    response = http.get(url, headers={"range": header})
    assert (response.status_code, response.content) == (status, CONTENT[start:end])
    if status == 206:
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/2560"


@pytest.mark.parametrize("header", ["bytes=2560-", "bytes=99999999999-", "bytes=-0"])
def test_ranges_beyond_the_end_are_416(http: Http, url: str, header: str) -> None:
    response = http.get(url, headers={"range": header})
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */2560"


def test_if_range_with_another_version_sends_all(http: Http, url: str) -> None:
    etag = http.get(url).headers["etag"]
    assert http.get(url, headers={"range": "bytes=5-", "if-range": etag}).status_code == 206
    assert http.get(url, headers={"range": "bytes=5-", "if-range": '"other"'}).status_code == 200


def test_head(http: Http, url: str) -> None:
    response = http("HEAD", url)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "2560"


def test_a_gzip_sibling_is_a_file_like_any_other(http: Http, project: Project, url: str) -> None:
    path = storage.download_path(project, "data_1")
    path.with_name("data_1.gz").write_bytes(gzip.compress(CONTENT))
    response = http.get(url + ".gz")
    assert "content-encoding" not in response.headers
    assert gzip.decompress(response.content) == CONTENT


def test_application_files_lie_flat(http: Http, project: Project) -> None:
    project.path("download", "app_1").write_bytes(b"elf")
    assert http.get("/p/download/app_1").content == b"elf"


def test_a_download_is_an_event(http: Http, project: Project, url: str) -> None:
    http.get(url)
    http.get(url, headers={"range": "bytes=10-"})
    lines = [line for line in project.events.since(0) if b"download.done" in line]
    assert b'"nbytes":2560,"range":null' in lines[0]
    assert b'"nbytes":2550,"range":[10,2560]' in lines[1]


BAD_PATHS = [
    "/p/download/../keys/code_sign_private",
    "/p/download/%2e%2e/keys/code_sign_private",
    "/p/download/..%2fkeys%2fcode_sign_private",
    "/p/download//etc/passwd",
    "/p/download/a/b/c/d/e/f",
    "/p/download/%00",
    "/p/download/data_1%00.txt",
    "/p/download/",
    "/p/download",
    "/p/download/" + "x" * 1000,
    "/p/download/197/nothing",
    "/p/download/data_1/x",
    "/p/upload/x",
    "/p/keys/code_sign_private",
    "/p/project.json",
    "/p/db.sqlite",
    "/p/log/server.log",
    "/p/.",
    "/nope/",
    "/nope_cgi/cgi",
    "/p_cgi/",
    "/p_cgi/other",
    "/_cgi/cgi",
    "/%ff",
    "/p/%ff",
    "/p/nothing.php",
    "/favicon.ico",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_lead_nowhere(runner: asyncio.Runner, registry: Registry, project: Project, path: str) -> None:
    status, body = raw(runner, registry, path)
    assert status == 404
    assert b"PRIVATE" not in body
    assert b"1024" not in body


def raw(runner: asyncio.Runner, registry: Registry, url: str, **scope: Any) -> tuple[int, bytes]:
    """Send a path as it stands: no client in between that tidies it up."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    full = {
        "type": "http",
        "method": "GET",
        "path": unquote(url.partition("?")[0]),
        "raw_path": url.partition("?")[0].encode(),
        "query_string": url.partition("?")[2].encode(),
        "headers": [],
        "client": ("10.0.0.9", 1),
    } | scope
    runner.run(make_app(registry)(full, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_links_in_the_download_directory_are_not_followed(http: Http, project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    project.path("download", "link").symlink_to(tmp_path / "secret")
    project.path("download", "dir").symlink_to(tmp_path)
    assert http.get("/p/download/link").status_code == 404
    assert http.get("/p/download/dir/secret").status_code == 404


def test_a_fifo_does_not_hang_the_server(http: Http, project: Project) -> None:
    os.mkfifo(project.path("download", "fifo"))
    assert http.get("/p/download/fifo").status_code == 404


def test_a_refused_download_is_an_event(http: Http, project: Project) -> None:
    http.get("/p/download/nothing")
    assert any(b'"download.failed"' in line and b'"status":404' in line for line in project.events.since(0))


def test_stopped_downloads_are_503(http: Http, project: Project, url: str) -> None:
    project.configure({"stop_download": True})
    assert http.get(url).status_code == 503


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_can_only_be_read(http: Http, url: str, method: str) -> None:
    assert http(method, url).status_code == 405


def test_the_master_page_has_both_tags_on_short_lines(http: Http, project: Project) -> None:
    text = http.get("/p/").text
    assert '<link rel="boinc_scheduler" href="http://boinc.test/p_cgi/cgi">' in text.splitlines()
    assert "<scheduler>http://boinc.test/p_cgi/cgi</scheduler>" in text.splitlines()
    assert master.scheduler_tags(project) in text


def test_the_master_url_without_slash_redirects(http: Http, project: Project) -> None:
    response = http.get("/p")
    assert (response.status_code, response.headers["location"]) == (301, "/p/")


def test_the_root_lists_the_projects(http: Http, project: Project) -> None:
    assert '<a href="/p/">Project P</a>' in http.get("/").text


def test_stopped_web_pages_are_503_but_the_scheduler_goes_on(http: Http, project: Project) -> None:
    project.configure({"stop_web": True})
    assert http.get("/p/").status_code == 503
    assert http.post("/p_cgi/cgi", b"").status_code == 200


def test_long_urls_are_414(runner: asyncio.Runner, registry: Registry, project: Project) -> None:
    assert raw(runner, registry, "/p/" + "x" * 5000)[0] == 414
    assert raw(runner, registry, "/p/lookup_account.php?email_addr=" + "x" * 5000)[0] == 414


def test_a_failure_of_ours_shows_no_details(http: Http, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("boinc_server.scheduler.handle_request", broken)
    response = http.post("/p_cgi/cgi", b"")
    assert (response.status_code, response.text) == (500, "Internal server error\n")
    assert any(b'"http.error"' in line and b"500" in line for line in project.events.since(0))


def test_projects_do_not_see_each_others_files(http: Http, registry: Registry, url: str) -> None:
    registry.create("q")
    assert http.get(url.replace("/p/", "/q/")).status_code == 404


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=60), method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]), query=st.binary(max_size=40))
def test_any_path_gets_an_answer(
    runner: asyncio.Runner, registry: Registry, project: Project, path: str, method: str, query: bytes
) -> None:
    for prefix in ("/", "/p/", "/p/download/", "/p_cgi/"):
        status, body = raw(runner, registry, "/", path=prefix + path, method=method, query_string=query)
        assert status in {200, 301, 302, 303, 400, 404, 405, 414}
        assert b"Traceback" not in body
