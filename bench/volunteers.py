"""What volunteers do with a reply, and what strangers send: for the load generators."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "images/server"))

from boinc_server import simulate


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def accept(host: simulate.SimulatedHost, text: str) -> tuple[int, int]:
    """The few things a load generator needs of a reply; `SimulatedHost.accept` checks all and takes longer.

    Returns how many reports were acknowledged and how many tasks came.
    """
    host.seqno += 1
    if "<hostid>" in text:
        host.hostid, host.seqno = int(_between(text, "<hostid>", "<")), 0
    if "<code_sign_key>" in text:
        host.code_sign_key = _between(text, "<code_sign_key>", "</code_sign_key>").strip()
    acked = text.count("<result_ack>")
    if acked:
        host.held.clear()
    names = [_between(block, "<name>", "<") for block in text.split("<result>\n")[1:]]
    host.held += names
    return acked, len(names)


PIECES = [
    *(b"<result>", b"</result>", b"<stderr_out>", b"\0", b"\xff\xfe", b"nan", b"-1", b"1e999", b"<!DOCTYPE a>", b"&b;", b"<!--", b"]]>"),
    *(b"<a>" * 50, b"../../x", b"%2e%2e/", b"' OR 1=1 --", b"\r\nBcc: x@y.z", b"x" * 4096, b"99999999999999999999", b"<hostid>1</hostid>"),
]
UPLOAD = (
    b"<data_server_request>\n<file_upload>\n<file_info>\n<name>x_0_r1_0</name>\n<xml_signature>\n" + b"ab" * 32 + b"\n.\n</xml_signature>\n"
    b"<max_nbytes>100</max_nbytes>\n</file_info>\n<nbytes>5</nbytes>\n<offset>0</offset>\n<data>\nhello"
)
SUBMIT = b"request=<submit_batch><authenticator>0</authenticator><batch><app_name>uppercase</app_name></batch></submit_batch>"
ACCOUNT = b"email_addr=u1@load.test&passwd_hash=00&user_name=x&cmd=result_file&result_name=old_1_0&hostid=1&resultid=1"
# A million requests are about what the server reads and decides. Right log-ins are not among them: a password is slow to try, on purpose.
TARGETS = [
    *("/p_cgi/cgi", "/p_cgi/cgi", "/p_cgi/cgi", "/p_cgi/file_upload_handler", "/p_cgi/file_upload_handler", "/p/submit_rpc_handler.php"),
    *("/p/job_file.php", "/p/create_account.php", "/p/am_get_info.php", "/p/get_output.php", "/p/result.php", "/p/results.php", "/p_ops/"),
    *("/account_manager/rpc.php", "/p/download/1/x", "/p/%2e%2e/x", "/x"),
]


def hostile_request(sample: bytes) -> tuple[str, bytes]:
    """A path, and a good body for it (`sample` for the scheduler) that was spoilt in some places."""
    path = random.choice(TARGETS)
    good = sample if path.endswith("/cgi") else UPLOAD if "upload" in path else SUBMIT if "submit" in path else ACCOUNT
    body = bytearray(good)
    for _ in range(random.randint(1, 12)):
        start = random.randrange(len(body) + 1)
        body[start : start + random.randint(0, 80)] = random.choice(PIECES)
    return path, bytes(body[: random.randint(0, len(body))] if random.random() < 0.3 else body)
