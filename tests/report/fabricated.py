"""A made-up scenario's evidence, as large as asked for."""

import json
import random
from pathlib import Path
from typing import Any

BEGIN = 1_800_000_000.0


def record(kind: str, time: float, source: str = "server", **fields: object) -> dict[str, Any]:
    return {"kind": kind, "real": BEGIN + time, "virtual": BEGIN + 20 * time, "source": source, **fields}


def evidence(folder: Path, *, jobs: int = 2, messages: int = 20) -> list[dict[str, Any]]:
    """Write history.jsonl and logs of two hosts that compute `jobs` jobs and say `messages` lines."""
    chance = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    records = [record("scenario.began", 0, "scenario", scenario="made up")]
    records += [record("client.started", 0.1, host, client=host, version="8.2.15") for host in ("host1", "host2")]
    records.append(record("fault.injected", 0.5, "faults", fault="http", target="upload", number=1, status=503))
    for number in range(jobs):
        host, name, time = f"host{number % 2 + 1}", f"uppercase_1795_{number}_0", 1 + number * 0.2
        records.append(record("result.created", time, result=number, name=name, workunit=number))
        records.append(record("result.sent", time + 0.1, result=number, name=name, workunit=number, host=1, deadline=BEGIN + 1e6))
        steps = [("FILES_DOWNLOADING", None), ("FILES_DOWNLOADED", "EXECUTING"), ("FILES_UPLOADING", None), ("FILES_UPLOADED", None)]
        for offset, (state, active) in enumerate(steps):
            when = time + 0.2 + offset * 0.3
            records.append(record("task.state", when, host, client=host, result=name, state=state, active_state=active, exit_status=0))
        records.append(record("upload.failed", time + 1.0, name=f"{name}_r1_0", status=503, result=name))
        records.append(record("result.reported", time + 1.5, result=number, name=name, workunit=number, outcome=1))
        records.append(record("job.validated", time + 1.6, workunit=number, name=name[:-2], result=number))
    words = [
        "Sending scheduler request",
        "Requesting new tasks for CPU",
        "Started upload of",
        "Finished download of",
        "Computation for task",
    ]
    for number in range(messages):
        host = f"host{number % 2 + 1}"
        text = f"{chance.choice(words)} {chance.getrandbits(40):x}"
        records.append(record("client.message", 1 + chance.random() * 10, host, client=host, pri=1 + number % 2, text=text, project="p"))
    records.append(record("fault.healed", 6, "faults", fault="http", target="upload", number=1))
    records.append(record("expect.met", 8, "scenario", text="job1 gets validated", seen="validated", line=9))
    records.append(record("expect.failed", 9, "scenario", text="job1 wrote 'HELLO'", seen="<script>alert(1)</script>", line=10))
    write(folder, records)
    (folder / "server.log").write_text("server\n", encoding="utf-8")
    (folder / "host1").mkdir(exist_ok=True)
    (folder / "host1" / "client.log").write_text("client\n", encoding="utf-8")
    return records


def write(folder: Path, records: list[dict[str, Any]]) -> None:
    (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
