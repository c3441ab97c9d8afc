"""From what happened to a scenario file that lets it happen again.

Reads a history (of an evidence folder, or of a living stack) and writes what a person did to the stack as clients, jobs, faults
and steps, and what came of it as expectations. Steps are tied to the events they followed, not to times: those differ in each run.
What no event tells (preferences and accounts of clients, applications of the scenario's own) is left to whoever edits the file.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.scenario.dump import dump
from harness.scenario.model import JobModel

Record = Mapping[str, Any]
#: events that a step can be tied to: they come in every replay
_LANDMARKS = frozenset({"result.sent", "result.reported", "result.timed_out", "job.validated", "job.error", "http.fault", "upload.failed"})
#: seconds within which an event of a client belongs to the fault that caused it
_SAME_MOMENT = 5.0
#: seconds that it takes to give a new time to a stack
_SKIP_TAKES = 1.0
_MOST_ORDER = 12
_MOST_INPUT = 4000


def record(history: Sequence[Record], *, name: str) -> str:
    """The history as the text of a scenario file."""
    words = f"recorded from {len(history)} events; make it smaller with: harness reduce FILE"
    return dump(_Recorder(history).document(name), comment=words)


class _Recorder:
    def __init__(self, history: Sequence[Record]) -> None:
        self._history = history
        self._jobs: dict[tuple[object, object], str] = {}
        self._result_jobs: dict[str, str] = {}
        self._faults: dict[object, str] = {}
        self._count: Counter[tuple[tuple[str, object], ...]] = Counter()
        self._landmark: dict[str, Any] | None = None
        self._landmarks: list[tuple[float, dict[str, Any]]] = []
        self._used: dict[str, Any] | None = None
        self._document: dict[str, Any] = {"project": {"config": {}}, "clients": [], "jobs": [], "faults": [], "steps": []}

    def document(self, name: str) -> dict[str, Any]:
        for index, event in enumerate(self._history):
            self._note_landmark(event)
            self._take(index, event)
        found: dict[str, Any] = {"scenario": f"recorded: {name}"[:200]}
        if not self._document["project"]["config"]:
            del self._document["project"]
        found.update({key: value for key, value in self._document.items() if value})
        found["expect"] = self._expectations() or [{"no_event": "job.error"}]
        return found

    def _note_landmark(self, event: Record) -> None:
        kind = str(event["kind"])
        pattern: dict[str, Any] = {"event": kind}
        if kind == "task.state" and event.get("active_state") == "EXECUTING":
            pattern |= {"client": event.get("client"), "fields": {"active_state": "EXECUTING"}}
        elif kind not in _LANDMARKS:
            return
        job = self._job_of(event)
        if job:
            pattern["job"] = job
        key = tuple(sorted((name, str(value)) for name, value in pattern.items()))
        self._count[key] += 1
        if self._count[key] > 1:
            pattern["count"] = self._count[key]
        self._landmark = pattern
        self._landmarks.append((float(event["real"]), pattern))

    def _job_of(self, event: Record) -> str:
        found = self._jobs.get((event.get("project"), event.get("workunit")))
        if found:
            return found
        name = str(event.get("result") or event.get("name") or "")
        return next((job for prefix, job in self._result_jobs.items() if name.startswith(f"{prefix}_")), "")

    def _step(self, **action: Any) -> None:
        """A step after the last landmark, or after the step before it if nothing happened in between."""
        trigger = {} if self._landmark is None or self._landmark is self._used else {"on": self._landmark}
        self._used = self._landmark
        self._document["steps"].append({**trigger, **action})

    def _take(self, index: int, event: Record) -> None:
        match event["kind"]:
            case "client.started":
                self._client_started(index, event)
            case "client.stopped":
                self._client_stopped(index, event)
            case "scenario.submitted":
                self._submitted(event)
            case "scenario.configured":
                self._configured(event)
            case "fault.injected":
                self._injected(event)
            case "fault.healed":
                self._healed(event)
            case "clock.skipped":
                seconds = float(event.get("seconds") or 0)
                if seconds > 0:
                    self._skip(float(event["real"]), round(seconds))

    def _skip(self, moment: float, seconds: int) -> None:
        """A skip is recorded when everybody has the new time, and what it led to may have been told before."""
        latest = self._landmark
        earlier = [pattern for real, pattern in self._landmarks if real < moment - _SKIP_TAKES]
        self._landmark = earlier[-1] if earlier else None
        self._step(skip=seconds)
        self._landmark = latest

    def _client_started(self, index: int, event: Record) -> None:
        name = str(event.get("client"))
        if all(client["name"] != name for client in self._document["clients"]):
            version = ".".join(str(event.get("version") or "").split(".")[:2])
            entry: dict[str, Any] = {"name": name, "version": version}
            if self._document["steps"]:
                entry["start"] = False
                self._step(start=name)
            self._document["clients"].append(entry)
        elif not self._belongs_to_fault(index, name, "fault.healed"):
            self._step(start=name)

    def _client_stopped(self, index: int, event: Record) -> None:
        verb = {"quit": "stop", "SIGKILL": "kill"}.get(str(event.get("how")))
        name = str(event.get("client"))
        if verb is not None and not self._belongs_to_fault(index, name, "fault.injected"):
            self._step(**{verb: name})

    def _belongs_to_fault(self, index: int, client: str, kind: str) -> bool:
        """Did a fault do this? It is recorded right after what it did."""
        moment = float(self._history[index]["real"])
        for event in self._history[index + 1 : index + 200]:
            if float(event["real"]) > moment + _SAME_MOMENT:
                return False
            if event["kind"] == kind and event.get("fault") == "kill" and event.get("target") == client:
                return True
        return False

    def _submitted(self, event: Record) -> None:
        name = f"job{len(self._jobs) + 1}"
        self._jobs[event.get("project"), event.get("workunit")] = name
        self._result_jobs[str(event.get("name"))] = name
        job: dict[str, Any] = {"name": name, "app": event.get("app")}
        inputs = [_content(one) for one in event.get("inputs") or []]
        if inputs:
            job["input"] = inputs[0] if len(inputs) == 1 else inputs
        if event.get("command_line"):
            job["command_line"] = event["command_line"]
        renamed = {"wu_template": "input_template", "result_template": "output_template"}
        for option, value in (event.get("options") or {}).items():
            field = renamed.get(option, option)
            if field in JobModel.model_fields and value is not None:
                job[field] = value
        self._document["jobs"].append(job)
        if self._document["steps"]:
            self._step(submit=name)

    def _configured(self, event: Record) -> None:
        options = dict(event.get("options") or {})
        if self._document["clients"] or self._document["jobs"]:
            self._step(configure=options)
        else:
            self._document["project"]["config"].update(options)

    def _injected(self, event: Record) -> None:
        fault = _fault(event, self._job_of({"result": event.get("target")}))
        if fault is None:
            return
        name = f"fault{len(self._document['faults']) + 1}"
        self._faults[event.get("number")] = name
        immediate = not self._document["clients"] and "http" in fault
        self._document["faults"].append({"name": name, **fault} if immediate else {"name": name, "start": False, **fault})
        if not immediate:
            self._step(inject=name)

    def _healed(self, event: Record) -> None:
        name = self._faults.get(event.get("number"))
        rest = [one for one in self._history if float(one["real"]) > float(event["real"])]
        if name is not None and any(str(one["kind"]) in _LANDMARKS for one in rest):
            self._step(heal=name)

    def _expectations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for (project, workunit), job in self._jobs.items():
            own = [event for event in self._history if event.get("workunit") == workunit and event.get("project") == project]
            kinds = [str(event["kind"]) for event in own if str(event["kind"]).startswith(("job.", "result."))]
            ends = {"job.assimilated": "assimilated", "job.validated": "validated", "result.reported": "reported", "result.sent": "sent"}
            reached = "error" if "job.error" in kinds else next((state for kind, state in ends.items() if kind in kinds), "unsent")
            expectation: dict[str, Any] = {"job": job, "reaches": reached}
            if reached in ("assimilated", "validated", "error"):
                expectation["results"] = kinds.count("result.created")
            statuses = [event.get("exit_status") for event in own if event["kind"] == "result.reported"]
            if statuses and statuses[-1]:
                expectation["exit_code"] = statuses[-1]
            found.append(expectation)
            order = [kind for kind in kinds if kind not in ("job.created", "result.created", "job.files_deleted", "result.valid")]
            if 2 <= len(order) <= _MOST_ORDER and kinds.count("result.created") <= 3:
                found.append({"in_order": order, "job": job})
        return found


def _content(entry: Record) -> Any:
    if "content_b64" not in entry:
        return {"repeat": "x", "size": int(entry.get("nbytes") or 0)}
    raw = base64.b64decode(str(entry["content_b64"]))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": str(entry["content_b64"])}
    if len(raw) <= _MOST_INPUT and all(character.isprintable() or character in "\n\t" for character in text):
        return text
    return {"base64": str(entry["content_b64"])}


def _fault(event: Record, job: str) -> dict[str, Any] | None:
    """The fields of a fault in a scenario file, from those of fault.injected (harness.faults)."""
    target, get = event.get("target"), event.get
    match get("fault"):
        case "http":
            action = {"length": "wrong_length"}.get(str(get("action")), str(get("action")))
            if action == "reset" and get("direction") == "reply":
                action = "lose_reply"
            fields = {"http": target, action: True if action in ("reset", "lose_reply") else get("value")}
            fields |= {"direction": get("direction")} if action in ("cut", "truncate", "alter", "replace") and get("direction") else {}
            more = {"times": get("times"), "let_through": get("skip"), "path": get("name") or None}
            return fields | {name: value for name, value in more.items() if value}
        case "kill":
            return {"kill": target, "signal": get("signal")}
        case "freeze":
            return {"freeze": target, "tasks": get("tasks")}
        case "signal":
            return {"signal_task": job, "client": get("client"), "signal": get("signal")} if job and get("client") else None
        case "partition":
            return {"partition": target, "how": get("how")}
        case "loss":
            return {"lose": target, "share": get("share")}
        case "rate":
            return {"slow_network": target, "kilobytes_per_second": get("kilobytes_per_second")}
        case "skew":
            return {"skew": target, "seconds": get("seconds"), "drift": get("drift")}
        case "read-only":
            return {"make_read_only": target}
        case "damage":
            return {"damage": target, "path": get("path"), "how": get("how")}
        case "slot lost":
            return {"lose_slot": target, "slot": get("slot")}
        case _:
            return None
