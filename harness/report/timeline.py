"""From events to what is drawn: a lane for each part, a mark for each event, bars for what lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

#: marks: info, ok, bad, warn (assets/page.js has the same order)
INFO, OK, BAD, WARN = range(4)
#: tasks beyond this share one lane
MOST_TASK_LANES = 120
#: texts in an event's fields are cut at this length; history.jsonl has the whole
MOST_TEXT = 1500
#: events beyond this are left out of the page, the oldest messages first
MOST_EVENTS = 40_000

Record = Mapping[str, Any]
_LEVELS: Mapping[str, int] = {
    "job.validated": OK,
    "job.assimilated": OK,
    "result.valid": OK,
    "upload.done": OK,
    "expect.met": OK,
    "job.error": BAD,
    "job.cancelled": WARN,
    "expect.failed": BAD,
    "invariant.violated": BAD,
    "result.invalid": BAD,
    "result.timed_out": BAD,
    "result.detached": WARN,
    "result.resent": WARN,
    "result.inconclusive": WARN,
    "upload.failed": WARN,
    "download.failed": WARN,
    "http.fault": WARN,
    "http.error": WARN,
    "fault.injected": WARN,
    "fault.healed": OK,
    "mail.failed": BAD,
    "client.stopped": WARN,
    "clock.skipped": WARN,
}
#: (task state, active state) -> how its bar looks and what it is called (lib/common_defs.h)
_BARS: Mapping[str, tuple[str, str]] = {
    "FILES_DOWNLOADING": ("move", "downloading"),
    "FILES_UPLOADING": ("move", "uploading"),
    "EXECUTING": ("run", "running"),
    "SUSPENDED": ("pause", "suspended"),
    "COPY_PENDING": ("move", "copying"),
}


@dataclass
class Lane:
    """One row of the timeline: `log` is the file beside the page with the part's own words, `key` what the row is known by later."""

    name: str
    kind: str
    log: str = ""
    key: str = ""


@dataclass
class Timeline:
    """What the page draws; times in milliseconds since `zero`, the earliest real and virtual time (unix seconds)."""

    lanes: list[Lane] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    events: list[list[Any]] = field(default_factory=list)
    bars: list[list[Any]] = field(default_factory=list)
    left_out: int = 0
    zero: tuple[float, float] = (0.0, 0.0)


def build(records: Sequence[Record], logs: Mapping[str, str] | None = None, *, since: int = 0) -> Timeline:
    """The timeline of a history. `logs`: a part's name -> its log file beside the page.

    `since`: a page has the events up to this line already and is given the others only (lanes, bars and kinds are whole).
    """
    return _Builder(records, logs or {}, since).build()


class _Builder:
    def __init__(self, records: Sequence[Record], logs: Mapping[str, str], since: int) -> None:
        self._records = records
        self._logs = logs
        self._since = since
        self._kinds: dict[str, int] = {}
        self._real0 = min((float(record["real"]) for record in records), default=0.0)
        self._virtual0 = min((float(record["virtual"]) for record in records), default=0.0)
        self._timeline = Timeline(zero=(self._real0, self._virtual0))
        self._clients = _clients(records)
        self._tasks = _tasks(records)
        self._fault_rows = _fault_rows(records)
        self._lanes = self._make_lanes()

    def _make_lanes(self) -> dict[str, int]:
        """Scenario and faults on top, then the server, each client with its tasks, the wire, the mails."""
        sources = {str(record["source"]) for record in self._records}
        kinds = {str(record["kind"]).partition(".")[0] for record in self._records}
        order: list[tuple[str, Lane]] = []
        if sources & {"scenario", "invariants"}:
            order.append(("scenario", Lane("scenario", "scenario")))
        if kinds & {"fault", "clock"} or "http.fault" in {record["kind"] for record in self._records}:
            order.append(("faults", Lane("faults", "faults")))
            order.extend((f"faults:{row}", Lane("", "faults")) for row in range(1, max(self._fault_rows.values(), default=0) + 1))
        if "server" in sources:
            order.append(("server", Lane("server", "server", self._logs.get("server", ""))))
        for client in self._clients:
            order.append((client, Lane(client, "client", self._logs.get(client, ""))))
            own = [task for task, owner in self._tasks.items() if owner == client]
            order.extend((f"task:{task}", Lane(f"  {_short(task)}", "task")) for task in own)
        order.extend((f"task:{task}", Lane(_short(task), "task")) for task, owner in self._tasks.items() if owner not in self._clients)
        if "http" in kinds:
            order.append(("http", Lane("http", "http")))
        if "mail" in kinds:
            order.append(("mail", Lane("mails", "mail")))
        known = {"scenario", "invariants", "faults", "server", "proxy", "mail", "clock", *self._clients}
        order.extend((source, Lane(source, "other", self._logs.get(source, ""))) for source in sorted(sources - known))
        if len(self._tasks) == MOST_TASK_LANES:
            order.append(("tasks", Lane("more tasks", "task")))
        order = order or [("server", Lane("server", "server"))]
        self._timeline.lanes = [replace(lane, key=key) for key, lane in order]
        return {name: index for index, (name, _) in enumerate(order)}

    def build(self) -> Timeline:
        kept = self._kept()
        bars = _Bars(self._lanes)
        for line, record in enumerate(self._records, start=1):
            lane = self._lane_of(record)
            real = round((float(record["real"]) - self._real0) * 1000)
            virtual = round((float(record["virtual"]) - self._virtual0) * 1000)
            bars.see(record, lane, (real, virtual))
            if kept is not None and line not in kept:
                self._timeline.left_out += 1
                continue
            kind = str(record["kind"])
            number = self._kinds.setdefault(kind, len(self._kinds))
            if line <= self._since:
                continue
            fields = {name: _cut(value) for name, value in record.items() if name not in ("kind", "real", "virtual", "source")}
            self._timeline.events.append(
                [line, lane, number, real, virtual, level_of(record), str(record["source"]), describe(record), fields]
            )
        self._timeline.bars = bars.finished()
        self._timeline.kinds = list(self._kinds)
        return self._timeline

    def _kept(self) -> set[int] | None:
        """The lines that fit on the page: where there are too many, client messages and exchanges go first."""
        too_many = len(self._records) - MOST_EVENTS
        if too_many <= 0:
            return None
        expendable = [line for line, record in enumerate(self._records, start=1) if record["kind"] in ("client.message", "http.exchange")]
        rest = list(range(1, len(self._records) + 1))
        dropped = set((expendable + rest)[:too_many])
        return set(rest) - dropped

    def _lane_of(self, record: Record) -> int:
        kind, source = str(record["kind"]), str(record["source"])
        family = kind.partition(".")[0]
        if family in ("fault", "clock") or kind == "http.fault":
            row = self._fault_rows.get(record.get("number"), 0)
            return self._lanes[f"faults:{row}" if row else "faults"]
        if family in ("mail", "http"):
            return self._lanes[family]
        if source in ("scenario", "invariants"):
            return self._lanes["scenario"]
        task = _task_of(record)
        if task:
            found = self._lanes.get(f"task:{task}", self._lanes.get("tasks"))
            if found is not None:
                return found
        return self._lanes.get(source, 0)


class _Bars:
    """What lasts: states of tasks, faults in force, times in which a client ran."""

    def __init__(self, lanes: Mapping[str, int]) -> None:
        self._lanes = lanes
        self._open: dict[tuple[object, ...], list[Any]] = {}
        self._bars: list[list[Any]] = []

    def see(self, record: Record, lane: int, now: tuple[int, int]) -> None:
        kind = record["kind"]
        if kind == "task.state":
            style = _BARS.get(str(record.get("active_state"))) or _BARS.get(str(record.get("state")))
            key: tuple[object, ...] = ("task", record.get("client"), lane)
            self._end(key, now)
            if style is not None:
                self._begin(key, lane, now, *style)
        elif kind == "client.stopped":
            for running in [key for key in self._open if key[:2] == ("task", record.get("client"))]:
                self._end(running, now)
        elif kind == "fault.injected":
            name = f"{record.get('fault') or 'fault'} {record.get('target') or ''}"
            self._begin(("fault", record.get("number")), lane, now, "fault", name)
        elif kind == "fault.healed":
            self._end(("fault", record.get("number")), now)

    def _begin(self, key: tuple[object, ...], lane: int, now: tuple[int, int], style: str, text: str) -> None:
        self._open[key] = [lane, now, None, style, text]

    def _end(self, key: tuple[object, ...], now: tuple[int, int]) -> None:
        bar = self._open.pop(key, None)
        if bar is not None:
            bar[2] = now
            self._bars.append(bar)

    def finished(self) -> list[list[Any]]:
        """All bars; one that never ended has no end."""
        return [*self._bars, *self._open.values()]


def _clients(records: Sequence[Record]) -> list[str]:
    return sorted(
        {str(record["client"]) for record in records if record["kind"] in ("client.started", "client.message") and record.get("client")}
    )


def _fault_rows(records: Sequence[Record]) -> dict[object, int]:
    """Number of a fault -> the row it is drawn in: faults that are in force at the same time lie below each other."""
    rows: dict[object, int] = {}
    in_force: dict[object, int] = {}
    for record in records:
        number = record.get("number")
        if record["kind"] == "fault.injected":
            row = min(set(range(len(in_force) + 1)) - set(in_force.values()))
            rows[number] = in_force[number] = row
        elif record["kind"] == "fault.healed":
            in_force.pop(number, None)
    return rows


def _tasks(records: Sequence[Record]) -> dict[str, str]:
    """Result name -> the client that has it ("" if none has it yet), in the order in which they were made."""
    owners: dict[str, str] = {}
    for record in records:
        task = _task_of(record)
        if task and (task in owners or len(owners) < MOST_TASK_LANES):
            owner = str(record.get("client") or "") if record["kind"] == "task.state" else ""
            owners[task] = owners.get(task) or owner
    return owners


def _task_of(record: Record) -> str:
    """The name of the result that an event is about, or ""."""
    kind = str(record["kind"])
    if kind == "task.state":
        return str(record.get("result") or "")
    if kind.startswith(("result.", "credit.")):
        return str(record.get("name") or "")
    if kind.startswith("upload."):
        return str(record.get("result") or "")
    return ""


def _short(task: str) -> str:
    return task if len(task) <= 30 else f"{task[:13]}…{task[-15:]}"


def level_of(record: Record) -> int:
    """How much an event matters: one of INFO, OK, BAD, WARN."""
    kind = str(record["kind"])
    if kind == "client.message":
        return WARN if int(record.get("pri") or 1) >= 2 else INFO
    if kind == "result.reported":
        return OK if record.get("outcome") == 1 else BAD
    if kind == "rpc.scheduler" and record.get("error"):
        return WARN
    if kind == "task.state":
        state = str(record.get("state"))
        return BAD if state in ("COMPUTE_ERROR", "ABORTED", "UPLOAD_FAILED") else OK if state == "FILES_UPLOADED" else INFO
    if kind == "http.exchange":
        return WARN if int(record.get("status") or 0) >= 400 else INFO
    return _LEVELS.get(kind, INFO)


def describe(record: Record) -> str:
    """An event in one line."""
    kind = str(record["kind"])
    get = record.get
    match kind:
        case "client.message":
            text = str(get("text") or "")
        case "task.state":
            more = [str(get("active_state") or "").lower(), f"exit {get('exit_status')}" if get("exit_status") else ""]
            text = f"{get('state')} {' '.join(word for word in more if word)} ({get('result')})"
        case "rpc.scheduler":
            parts = [f"host {get('host')}"]
            parts += [f"{word} {len(get(word))}" for word in ("reported", "sent", "aborted") if get(word)]  # type: ignore[arg-type]
            parts += [str(get("error"))] if get("error") else []
            text = ", ".join(parts) + (f": {'; '.join(str(m) for m in get('messages'))}" if get("messages") else "")  # type: ignore[union-attr]
        case "expect.met" | "expect.failed":
            text = f"{get('text')} - seen: {get('seen')}"
        case "http.exchange":
            text = f"{get('method')} {get('path')} -> {get('status')}"
        case _:
            skip = ("kind", "real", "virtual", "source", "project")
            text = " ".join(f"{name}={value}" for name, value in record.items() if name not in skip and value not in (None, "", []))
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"{value[:MOST_TEXT]}… ({len(value)} characters)"
    if isinstance(value, list) and len(value) > 100:
        return [*[_cut(one) for one in value[:100]], f"… ({len(value)} entries)"]
    return value
