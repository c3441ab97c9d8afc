"""The smallest scenario: says when it got this far. `bench` runs it through ./run; no scenario of the library."""

import json
import os
import time
from pathlib import Path

from harness.stack import Stack


def test_probe(stack: Stack) -> None:
    reached = {"scenario": time.time()}
    assert stack.project.master_url
    reached["project"] = time.time()
    Path(os.environ["BOINC_HARNESS_PROBE"]).write_text(json.dumps(reached), encoding="utf-8")
