"""Projects on the embedded server, driven through its control interface."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from harness.clock import Clock
from harness.errors import HarnessError
from harness.history import History
from harness.jobs import Job, Result
from harness.project.base import Account, Project

#: seconds within which the server has to answer a control request
CONTROL_TIMEOUT = 30.0
#: the server sends a blank line on the event stream every 5 s; twice that without one means it is gone
STREAM_SILENCE = 12.0
PASSWORD = "correct horse"
#: bytes of a job's inputs up to which the history holds them
RECORDED_INPUTS = 64_000


class ControlError(HarnessError):
    """The server refused a control request. Fields: `status` (HTTP), `kind`, `field` (of the request body, may be empty)."""

    def __init__(self, request: str, status: int, kind: str, text: str, field: str = "") -> None:
        self.status = status
        self.kind = kind
        self.field = field
        where = f", field {field}" if field else ""
        super().__init__(f"the project server refused ({status} {kind}{where})", thing=request, expected=text)


class ServerGone(HarnessError):
    """The server stopped answering on its control port."""

    exit_code = 69


class Control:
    """The control interface of an embedded server: JSON over HTTP with a bearer token."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        #: cleared while the server is down on purpose: whoever follows it waits instead of giving up
        self.up = threading.Event()
        self.up.set()
        self._http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {token}"}, timeout=CONTROL_TIMEOUT, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def rebase(self, base_url: str) -> None:
        """The server has another address now (it was started again)."""
        self.base_url = base_url
        self._http.base_url = httpx.URL(base_url)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request with a JSON body and return the JSON of the answer (None if it is empty)."""
        answer = self._send(method, path, json=body) if body is not None else self._send(method, path)
        return answer.json() if answer.content else None

    def put(self, path: str, content: bytes, *, method: str = "PUT", headers: Mapping[str, str] | None = None) -> Any:
        """Send raw bytes."""
        answer = self._send(method, path, content=content, headers=dict(headers or {}))
        return answer.json() if answer.content else None

    def get_bytes(self, path: str) -> bytes:
        return self._send("GET", path).content

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise ServerGone(
                "the project server does not answer on its control port",
                thing=f"{method} {self.base_url}{path}",
                expected=f"an answer within {CONTROL_TIMEOUT:g} s; got {type(error).__name__}: {error}",
                remedy="look at the server's log (harness logs server)",
            ) from error
        if answer.is_error:
            raise _refusal(f"{method} {path}", answer)
        return answer

    def stream(self, path: str) -> Any:
        """A context manager with a streamed response: one event a line."""
        return self._http.stream("GET", path, timeout=httpx.Timeout(CONTROL_TIMEOUT, read=STREAM_SILENCE))


def _refusal(request: str, answer: httpx.Response) -> ControlError:
    try:
        error = answer.json()["error"]
        return ControlError(request, answer.status_code, error["kind"], error["message"], error.get("field") or "")
    except (ValueError, KeyError, TypeError):
        return ControlError(request, answer.status_code, "http", answer.text[:500])


class EventFollower(threading.Thread):
    """Copies a project's events from the server into the stack's history as they happen."""

    def __init__(self, control: Control, project: str, history: History) -> None:
        super().__init__(name=f"events of {project}", daemon=True)
        self._control = control
        self._project = project
        self._history = history
        self._stop = threading.Event()
        self._seq = 0

    def stop(self) -> None:
        """No more events are wanted; the thread ends with the next line or keep-alive, nobody waits for it."""
        self._stop.set()

    def run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            if not self._control.up.wait(1.0):
                failures = 0
                continue
            try:
                with self._control.stream(f"/projects/{self._project}/events?since={self._seq}&follow=1") as answer:
                    if answer.is_error:
                        answer.read()
                        self._give_up(_refusal(f"events of {self._project}", answer))
                        return
                    for line in answer.iter_lines():
                        if self._stop.is_set():
                            return
                        if line:
                            failures = 0
                            self._take(json.loads(line))
            except (httpx.HTTPError, httpx.StreamError, RuntimeError) as error:
                # A connection may break; a server that is really gone is told to every wait.
                failures += 1
                if failures > 20 and not self._stop.is_set():
                    self._give_up(
                        ServerGone(
                            "the project server's events broke off",
                            thing=self._project,
                            expected=f"the stream to come back; the last error: {error}",
                            remedy="look at the server's log (harness logs server)",
                        )
                    )
                    return
                self._stop.wait(0.25)

    def _give_up(self, error: HarnessError) -> None:
        if not self._stop.is_set():
            self._history.break_off(error)

    def _take(self, event: dict[str, object]) -> None:
        seq, kind = event.pop("seq"), str(event.pop("kind"))
        real, virtual = event.pop("real"), event.pop("virtual")
        assert isinstance(seq, int)
        assert isinstance(real, int | float)
        assert isinstance(virtual, int | float)
        if seq > self._seq:
            self._seq = seq
            self._history.add(kind, "server", real=real, virtual=virtual, **event)


class EmbeddedProject(Project):
    """A project on the embedded server."""

    def __init__(self, control: Control, name: str, history: History, clock: Clock | None, *, config: Mapping[str, object]) -> None:
        """Make a project; without a clock it is one that is there already."""
        self.name = name
        self.history = history
        self._control = control
        self._account: Account | None = None
        self._apps: set[str] = set()
        self._path = f"/projects/{name}"
        if clock is None:
            made = next(one for one in control.call("GET", "/projects") if one["name"] == name)
        else:
            made = control.call("POST", "/projects", {"name": name, "clock": clock.spec(), "config": dict(config)})
        self.master_url = str(made["master_url"])
        if config:
            history.add("scenario.configured", "scenario", project=name, options=dict(config))
        self._follower = EventFollower(control, name, history)
        self._follower.start()

    def __repr__(self) -> str:
        return f"<Project {self.name}>"

    @classmethod
    def existing(cls, control: Control, name: str, history: History) -> EmbeddedProject:
        """A project that somebody else has made; its events so far and those to come go into `history`."""
        return cls(control, name, history, None, config={})

    def stop_following(self) -> None:
        """Take no more events into the history; the project stays."""
        self._follower.stop()

    def account(self) -> Account:
        if self._account is None:
            self._account = self.create_account(self.address("volunteer"), PASSWORD, "Volunteer")
        return self._account

    def create_account(self, email: str, password: str, name: str = "") -> Account:
        body = {"email": email, "password": password, "name": name or email.partition("@")[0]}
        made = self._control.call("POST", f"{self._path}/users", body)
        return Account(id=made["id"], email=email, password=password, authenticator=made["authenticator"])

    def submit(
        self,
        app: str,
        *,
        input: bytes | Sequence[bytes] | None = None,  # noqa: A002 - what everybody calls it
        command_line: str = "",
        name: str | None = None,
        input_template: str | None = None,
        result_template: str | None = None,
        **options: object,
    ) -> Job:
        files = [] if input is None else [input] if isinstance(input, bytes) else list(input)
        body: dict[str, object] = {
            "app": app,
            "inputs": [{"content_b64": base64.b64encode(content).decode("ascii")} for content in files],
            "command_line": command_line,
            "options": _options(options, input_template, result_template),
        }
        if name is not None:
            body["name"] = name
        self._install_sample(app)
        made = self._control.call("POST", f"{self._path}/work", body)
        workunit = made["workunits"][0]
        self._record_submission(workunit, body, files)
        return Job(self, workunit["id"], workunit["name"], app)

    def _record_submission(self, workunit: Mapping[str, object], body: Mapping[str, object], files: Sequence[bytes]) -> None:
        """What was asked for, so that the record can be replayed; large inputs by their size only."""
        small = sum(len(content) for content in files) <= RECORDED_INPUTS
        self.history.add(
            "scenario.submitted",
            "scenario",
            project=self.name,
            workunit=workunit["id"],
            name=workunit["name"],
            app=body["app"],
            command_line=body["command_line"],
            options=body["options"],
            inputs=body["inputs"] if small else [{"nbytes": len(content)} for content in files],
        )

    def submit_many(self, app: str, inputs: Sequence[bytes | Sequence[bytes]], **options: object) -> list[Job]:
        return [self.submit(app, input=one, **options) for one in inputs]  # type: ignore[arg-type]  # options hold submit's own

    def _install_sample(self, app: str) -> None:
        if app not in self._apps:
            self.install_app(app)

    def install_app(self, name: str, **columns: object) -> None:
        samples = self._control.call("GET", "/sample-apps")
        names = {entry if isinstance(entry, str) else entry["name"] for entry in samples}
        known = {entry["name"] for entry in self._control.call("GET", f"{self._path}/apps")}
        if name not in known and (name in names or columns):
            self._control.call("POST", f"{self._path}/apps", {"name": name, "sample": name in names, **columns})
        self._apps.add(name)

    def put_file(self, path: str, content: bytes, *, executable: bool = False) -> None:
        self._control.put(f"{self._path}/tree/{path}", content, headers={"X-Mode": "0755" if executable else "0644"})

    def update_versions(self) -> Sequence[Mapping[str, object]]:
        made = self._control.call("POST", f"{self._path}/update_versions")
        versions: Sequence[Mapping[str, object]] = made["app_versions"]
        return versions

    def deprecate_platform(self, name: str) -> None:
        self._control.call("PATCH", f"{self._path}/platforms/{name}", {"deprecated": 1})

    def change_code_sign_key(self, *, announce: bool = True) -> None:
        self._control.call("POST", f"{self._path}/code_sign_key", {"announce": announce})

    def configure(self, **options: object) -> None:
        self._control.call("PATCH", f"{self._path}/config", options)
        self.history.add("scenario.configured", "scenario", project=self.name, options=options)

    def workunit(self, workunit_id: int) -> Mapping[str, object]:
        record: Mapping[str, object] = self._control.call("GET", f"{self._path}/workunits/{workunit_id}")
        return record

    def workunits(self) -> list[Mapping[str, object]]:
        records: list[Mapping[str, object]] = self._control.call("GET", f"{self._path}/workunits")
        return records

    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]:
        wanted = {"workunit": workunit, "host": host}
        query = "&".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
        records = self._control.call("GET", f"{self._path}/results?{query}")
        return [Result.from_record(record) for record in records]

    def hosts(self) -> list[Mapping[str, object]]:
        records: list[Mapping[str, object]] = self._control.call("GET", f"{self._path}/hosts")
        return records

    def users(self) -> list[Mapping[str, object]]:
        records: list[Mapping[str, object]] = self._control.call("GET", f"{self._path}/users")
        return records

    def output(self, result_id: int, name: str) -> bytes:
        return self._control.get_bytes(f"{self._path}/results/{result_id}/outputs/{name}")

    def outputs(self, result_id: int) -> Mapping[str, Mapping[str, object]]:
        found: Mapping[str, Mapping[str, object]] = self._control.call("GET", f"{self._path}/results/{result_id}/outputs")
        return found

    def cancel(self, workunit_id: int) -> None:
        self._control.call("POST", f"{self._path}/workunits/{workunit_id}/cancel", {})

    def get_file(self, path: str) -> bytes:
        return self._control.get_bytes(f"{self._path}/tree/{path}")

    def edit(self, table: str, row: int | str, **columns: object) -> None:
        self._control.call("PATCH", f"{self._path}/{table}s/{row}", columns)

    def table(self, name: str, /, **where: object) -> list[Mapping[str, object]]:
        query = "&".join(f"{column}={value}" for column, value in where.items())
        rows: list[Mapping[str, object]] = self._control.call("GET", f"{self._path}/tables/{name}?{query}")
        return rows

    def merge_hosts(self, one: int, other: int) -> None:
        self._control.call("POST", f"{self._path}/hosts/{one}/merge", {"other": other})

    def send_to_host(self, host: int, xml: str, *, variety: str = "") -> None:
        self._control.call("POST", f"{self._path}/messages", {"host": host, "variety": variety, "xml": xml})

    def allow_submission(self, account: Account) -> None:
        self._control.call("PUT", f"{self._path}/users/{account.id}/submit", {})

    def set_clock(self, clock: Clock) -> None:
        """Give the project another clock; what is due by it happens."""
        self._control.call("PUT", f"{self._path}/clock", {"clock": clock.spec()})

    def log(self) -> str:
        return self._control.get_bytes(f"{self._path}/log").decode("utf-8", "replace")

    def delete(self) -> None:
        self._follower.stop()
        self._control.call("DELETE", self._path)


def _options(options: Mapping[str, object], input_template: str | None, result_template: str | None) -> dict[str, object]:
    merged = dict(options)
    if input_template is not None:
        merged["wu_template"] = input_template
    if result_template is not None:
        merged["result_template"] = result_template
    return merged
