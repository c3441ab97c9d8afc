"""What strangers send to every endpoint at once: floods, slow senders, SQL in each field. Nobody else notices."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from boinc_server import models
from boinc_server.body import BodyStream
from boinc_server.wire.reader import WireError
from sqlalchemy import func, select

from .conftest import EMAIL, PASSWORD_HASH, World

FLOOD = 100 * 2**20
MULTIPART = b"Content-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="file_0"; filename="f"\r\n\r\n'
UPLOAD = (
    b"<data_server_request>\n<file_upload>\n<file_info>\n<name>x_r1_0</name>\n<max_nbytes>1e9</max_nbytes>\n</file_info>\n"
    b"<nbytes>1e9</nbytes>\n<data>\n"
)
FLOODED: Mapping[str, tuple[str, bytes, bytes]] = {
    # id: path, headers, start of the body
    "scheduler": ("/{p}_cgi/cgi", b"", b"<scheduler_request>\n"),
    "upload without certificate": ("/{p}_cgi/file_upload_handler", b"", UPLOAD),
    "upload without a line": ("/{p}_cgi/file_upload_handler", b"", b""),
    "account": ("/{p}/create_account.php", b"Content-Type: application/x-www-form-urlencoded\r\n", b"email_addr="),
    "submission": ("/{p}/submit_rpc_handler.php", b"Content-Type: application/x-www-form-urlencoded\r\n", b"request="),
    "submission in parts": ("/{p}/submit_rpc_handler.php", MULTIPART, PART),
    "job files": ("/{p}/job_file.php", MULTIPART, PART),
    "account manager": ("/account_manager/rpc.php", b"", b"<acct_mgr_request>\n"),
    "host of an account manager": ("/{p}/am_set_host_info.php", b"", b"venue="),
    "log-in": ("/{p}/login_form.php", b"Content-Type: application/x-www-form-urlencoded\r\n", b"passwd="),
    "a page": ("/{p}/", b"", b""),
    "a download": ("/{p}/download/1/x", b"", b""),
    "nothing": ("/nowhere", b"", b""),
}


def forget_the_peak() -> None:
    """Count the most memory this process, which holds the server, had from now on (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_peak() -> int:
    """Bytes of memory this process had at most."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found.group(1)) * 1024


@pytest.mark.parametrize("name", FLOODED)
def test_a_hundred_megabytes_are_refused_without_being_kept(world: World, name: str) -> None:
    path, headers, start = FLOODED[name]
    head = f"POST {path.format(p=world.project.name)} HTTP/1.1\r\nHost: x\r\nContent-Length: {FLOOD + len(start)}\r\n".encode()
    forget_the_peak()
    before = resident_peak()
    block = b"x" * 2**20
    answer = b""
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=60) as connection:
        connection.sendall(head + headers + b"\r\n" + start)
        try:
            for _ in range(FLOOD // len(block)):
                connection.sendall(block)
            answer = connection.recv(65536)
        except ConnectionError:
            pass  # it stopped listening, which is its good right
    assert b"Traceback" not in answer
    assert b" 500 " not in answer[:20]
    # the limit of a scheduler request is 32 MiB, in pieces and once more joined
    assert resident_peak() - before < 80 * 2**20
    assert world.rpc().values["userid"] == "1"


def test_a_body_that_comes_byte_by_byte_is_given_up() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    begun = time.monotonic()
    with pytest.raises(WireError, match="not received within") as caught:
        asyncio.run(BodyStream(receive, idle_timeout=10).read_all(1000, timeout=0.3))
    assert caught.value.status == 408
    assert time.monotonic() - begun < 10


SQL = [
    "' OR '1'='1",
    "1; DROP TABLE user; --",
    '"; DELETE FROM result; --',
    "') UNION SELECT authenticator FROM user --",
    "%' AND 1=(SELECT count(*) FROM user) --",
    "ann@boinc.test' --",
]
FIELDS: Mapping[str, tuple[str, ...]] = {
    "lookup_account.php": ("email_addr", "passwd_hash"),
    "create_account.php": ("email_addr", "passwd_hash", "user_name", "team_name", "invite_code"),
    "am_get_info.php": ("account_key",),
    "am_set_host_info.php": ("account_key", "hostid", "venue"),
    "login_form.php": ("email_addr", "passwd"),
    "get_passwd.php": ("email_addr",),
    "get_output.php": ("cmd", "result_name", "result_id", "wu_id", "batch_id", "auth_str", "file_num"),
    "get_output2.php": ("cmd", "result_name", "result_id", "wu_id", "batch_id", "auth_str", "file_num"),
    "results.php": ("hostid", "offset", "state", "appid"),
    "result.php": ("resultid",),
    "show_host_detail.php": ("hostid",),
    "server_status.php": ("xml",),
}


def counts(world: World) -> dict[str, int]:
    tables = (models.user, models.host, models.result, models.workunit, models.batch)

    def count(tx: Any) -> dict[str, int]:
        return {table.name: tx.one(select(func.count().label("n")).select_from(table)).n for table in tables}

    return world.transaction(count)


@pytest.mark.parametrize("rpc", FIELDS)
def test_sql_in_every_field_of_every_page_is_text(world: World, rpc: str) -> None:
    world.add_job()
    world.rpc(1.0)
    before, key = counts(world), world.user.authenticator
    good = {"email_addr": EMAIL, "passwd_hash": "0" * 32, "cmd": "result_file", "account_key": "0" * 32}
    for field in FIELDS[rpc]:
        for text in SQL:
            values = {**{name: good.get(name, "1") for name in FIELDS[rpc]}, field: text}
            for response in (world.get(rpc, params=values), world.http.post(world.url + rpc, data=values)):
                assert response.status_code < 500, (field, text)
                assert key not in response.text
                assert PASSWORD_HASH not in response.text
    assert world.events("http.error") == [event for event in world.events("http.error") if event["status"] < 500]
    assert counts(world) == before
    assert world.rpc().values["userid"] == "1"


SUBMISSIONS: Mapping[str, tuple[str, ...]] = {
    "submit_batch": ("authenticator", "batch/app_name", "batch/batch_id", "batch/batch_name"),
    "create_batch": ("authenticator", "app_name", "batch_name"),
    "query_batch": ("authenticator", "batch_id", "get_cpu_time"),
    "query_batches": ("authenticator", "get_cpu_time"),
    "query_job": ("authenticator", "job_id"),
    "query_completed_job": ("authenticator", "job_name"),
    "abort_batch": ("authenticator", "batch_id"),
    "abort_jobs": ("authenticator", "job_name"),
    "retire_batch": ("authenticator", "batch_id"),
    "get_templates": ("authenticator", "app_name", "job_name"),
}


@pytest.mark.parametrize("command", SUBMISSIONS)
def test_sql_in_every_element_of_a_submission_is_text(world: World, command: str) -> None:
    before, key = counts(world), world.user.authenticator
    for place in SUBMISSIONS[command]:
        for text in SQL:
            inner = f"<authenticator>{key}</authenticator>" if place != "authenticator" else ""
            element = "".join(f"<{tag}>" for tag in place.split("/")) + text.replace("<", "&lt;")
            element += "".join(f"</{tag}>" for tag in reversed(place.split("/")))
            body = urlencode({"request": f"<{command}>{inner}{element}</{command}>"})
            response = world.http.post(
                f"{world.url}submit_rpc_handler.php", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
            )
            assert response.status_code == 200
            assert re.search("<error_num>-1</error_num>", response.text), (place, text)
            assert key not in response.text
    assert counts(world) == before


@pytest.mark.parametrize("text", SQL)
def test_sql_in_uploads_and_reports_is_text(world: World, text: str) -> None:
    world.add_job()
    before = counts(world)
    escaped = text.replace("<", "&lt;")
    assert world.upload(f"<data_server_request>\n<get_file_size>{escaped}</get_file_size>\n</data_server_request>\n".encode())[0] in (0, -1)
    world.host.authenticator = text
    assert "userid" not in world.rpc(1.0).values
    assert counts(world) == before
