"""docs/threats.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from boinc_server import body, protocol
from boinc_server.submit import files
from boinc_server.wire import limits

ROOT = Path(__file__).parents[2]
PLACES = {
    "wire": ROOT / "images/server/tests/wire",
    "state": ROOT / "images/server/tests/state",
    "conformance": ROOT / "tests/conformance",
    "fuzz": ROOT / "tests/fuzz",
    "core": ROOT / "tests/core",
    "setup": ROOT / "tests/setup",
    "containers": ROOT / "scenarios/containers",
}


def test_every_threat_names_its_test() -> None:
    text = (ROOT / "docs/threats.md").read_text()
    rows = [line for line in text.partition("## Requests")[2].splitlines() if line.startswith("| ") and not line.startswith("| Threat")]
    assert len(rows) > 50
    for row in rows:
        cell = row.rstrip(" |").rpartition("| ")[2]
        named = re.findall(r"`((?:\w+/\w+\.py)?)::(\w+)`", cell)
        assert named, f"no test: {row}"
        file = ""
        for path, test in named:
            file = path or file
            place, _, name = file.partition("/")
            assert f"\ndef {test}(" in (PLACES[place] / name).read_text(), f"{file}::{test}"


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("request line and headers", protocol.MAX_HEAD),
        ("time for them", int(protocol.HEAD_TIMEOUT)),
        ("body of a scheduler request", limits.MAX_SCHEDULER_REQUEST),
        ("body of a web form", limits.MAX_FORM),
        ("all files of one job_file.php call", files.MAX_FILES),
        ("header of an upload, before the data", limits.MAX_UPLOAD_HEADER),
        ("tags in a scheduler request", limits.MAX_ELEMENTS),
        ("reported results in one request", limits.MAX_RESULTS),
        ("results held by one host", limits.MAX_OTHER_RESULTS),
        ("files named in one request, or in one result", limits.MAX_FILE_INFOS),
        ("app versions in one request", limits.MAX_APP_VERSIONS),
        ("trickles in one request", limits.MAX_MSGS_FROM_HOST),
        ("an ordinary text", limits.MAX_STRING),
        ("stderr of a result", limits.MAX_BLOB),
        ("a file name", limits.MAX_FILE_NAME),
        ("URL with its query", limits.MAX_URL),
        ("silence of a sender", int(body.IDLE_TIMEOUT)),
        ("a whole request that is no upload", int(body.BODY_TIMEOUT)),
    ],
)
def test_the_limits_stated_are_the_limits(what: str, limit: int) -> None:
    text = (ROOT / "docs/threats.md").read_text()
    assert re.search(rf"^\| {re.escape(what)} \| {limit} ", text, re.MULTILINE)
