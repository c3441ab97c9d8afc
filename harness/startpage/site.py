"""The web server of the start page: on this host's loopback interface, for the person who typed `harness up`.

/              the page            /timeline   the stack's report, which follows along by /timeline/since
/events?since  newer events        /history.jsonl, /scenario   what happened so far, as a record and as a scenario file
/screen?client the screen of a client's virtual machine, as a page; /screen.png?client its picture
/do (POST)     a button; needs the page's own token, so that no other page can press it
"""

from __future__ import annotations

import html
import json
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from harness.errors import HarnessError, PortTaken, UsageError
from harness.report import Facts, page, timeline
from harness.startpage import screens
from harness.startpage.actions import Actions

if TYPE_CHECKING:
    from harness.client import Client
    from harness.history import Event
    from harness.project.base import Account, Project
    from harness.stack import Stack
    from harness.vbox_app import VmApp

#: events in one answer, and the most that a button may post
MOST_EVENTS = 500
MOST_FORM = 4096
#: by what names a browser on this host may ask for the page; another name is a page elsewhere that was pointed here
_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'; img-src data: blob:"
)


class Site:
    """The start page of one stack. `start` serves it until `stop`."""

    def __init__(self, stack: Stack, project: Project, account: Account, *, port: int = 0, vm_app: VmApp | None = None) -> None:
        self.stack = stack
        self.project = project
        self.account = account
        self.token = secrets.token_urlsafe(16)
        self.actions = Actions(stack, project, vm_app)
        self.screens = screens.Screens()
        #: what the last button said
        self.said = ""
        self._busy = threading.Lock()
        self._recording = threading.Lock()
        self._records: list[Mapping[str, Any]] = []
        try:
            self._server = _Server(("127.0.0.1", port), _handler(self))
        except OSError as error:
            raise _taken(port, error) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="start page", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5.0)
        self._server.server_close()
        self._server.hang_up()

    # --- what it answers

    def index(self) -> str:
        """The page, with what the last button said."""
        said = self.said
        admin = f"{self.stack.server.public_url()}/{self.project.name}_ops/"
        return page.fill(
            files("harness.startpage").joinpath("assets", "index.html").read_text(encoding="utf-8"),
            {
                "css": page.asset("page.css"),
                "said": f'<p role="status" class="said">{html.escape(said)}</p>' if said else "",
                "project": html.escape(self.stack.page(self.project)),
                "admin": html.escape(admin),
                "control_token": html.escape(self.stack.server.token),
                "mails": html.escape(self.stack.mail.url),
                "email": html.escape(self.account.email),
                "password": html.escape(self.account.password),
                "key": html.escape(self.account.authenticator),
                "master_url": html.escape(self.project.master_url),
                "clients": "".join(self._row(client) for client in self.stack.clients),
                "buttons": self._buttons(
                    {
                        "submit": "Submit a job",
                        "submit-long": "Submit a long job",
                        **({"submit-vm": "Submit a VM job"} if self.actions.vm_app else {}),
                        **self._time(),
                        "heal": "Heal all",
                    }
                ),
                "token": html.escape(self.token),
            },
        )

    def _time(self) -> dict[str, str]:
        return {} if self.stack.clock.is_real else {"skip-day": "Skip a day"}

    def _row(self, client: Client) -> str:
        running = client.is_running
        manager = client.manager if running else None
        names = {"update": "Update", "break-network": "Break network", "kill": "Kill"} if running else {"start": "Start again"}
        if running and manager is None:
            names["open-manager"] = "Open Manager"
        try:
            where = str(client.gui_rpc_address()) if running else "not running"
            link = manager.url if manager else ""
        except HarnessError as error:  # it has just ended by itself
            where, link = error.what, ""
        cells = {"Host": client.name, "BOINC": client.boinc_version, "GUI RPC": where, "Password": client.password if running else ""}
        shown = "".join(f'<td data-name="{name}">{html.escape(cell)}</td>' for name, cell in cells.items())
        opened = f'<a href="{html.escape(link)}" target="_blank" rel="noopener">BOINC Manager</a> ' if link else ""
        if running and screens.has_screen(client):
            opened += f'<a href="/screen?client={quote(client.name)}" target="_blank" rel="noopener">Screen of its VM</a> '
        return f"<tr>{shown}<td>{self._buttons(names, client=client.name)}{opened}</td></tr>"

    def _buttons(self, names: Mapping[str, str], client: str = "") -> str:
        target = f'<input type="hidden" name="client" value="{html.escape(client)}">' if client else ""
        return "".join(
            f'<form method="post" action="/do"><input type="hidden" name="token" value="{html.escape(self.token)}">{target}'
            f'<button name="action" value="{name}">{html.escape(text)}</button></form>'
            for name, text in names.items()
        )

    def events(self, since: int) -> dict[str, object]:
        """Events from number `since` on, the number to ask for next, and whether there are more already."""
        known = list(self.stack.history)
        chosen = known[since : since + MOST_EVENTS]
        return {"next": since + len(chosen), "more": since + len(chosen) < len(known), "events": [_shown(event) for event in chosen]}

    def records(self) -> Sequence[Mapping[str, Any]]:
        """The history as a report reads it."""
        with self._recording:
            known = list(self.stack.history)
            self._records += [json.loads(event.as_json()) for event in known[len(self._records) :]]
            return list(self._records)

    def timeline(self) -> str:
        """The report of the stack, which follows along."""
        with tempfile.TemporaryDirectory(prefix="boinc-harness-") as folder:
            self.stack.history.write(Path(folder) / "history.jsonl")
            return page.render(Path(folder), Facts("the stack of harness up", "running"), follow="/timeline/since")

    def newer(self, since: int) -> dict[str, Any]:
        """What the timeline draws beyond line `since` of the history."""
        if len(self.stack.history) <= since:
            return {"events": []}
        return page.as_data(timeline.build(self.records(), since=since))

    def scenario(self) -> str:
        """What happened so far as a scenario file."""
        from harness.scenario.record import record  # noqa: PLC0415 - only for those who ask

        return record([dict(one) for one in self.records()], name="harness up")

    def press(self, form: Mapping[str, list[str]]) -> None:
        """A button was pressed: do it, one at a time, and keep what came of it in `said`."""
        with self._busy:
            try:
                self.said = self.actions.do(form.get("action", [""])[0], form.get("client", [""])[0])
            except HarnessError as error:
                self.said = str(error)


class _Server(ThreadingHTTPServer):
    """Knows the connections that browsers keep open: each has a thread that would go on answering after the server is closed."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all of them."""
        for connection in list(self._open):
            with suppress(OSError):  # it has just ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def check_port(port: int) -> None:
    """Raise `PortTaken` if the start page cannot be served on a port: before anything is started for it."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        raise _taken(port, error) from error


def _taken(port: int, error: OSError) -> PortTaken:
    return PortTaken(
        "the start page cannot be served there",
        thing=f"127.0.0.1:{port}",
        expected=f"a free port ({error.strerror})",
        remedy="choose another with --port, or none for any free one",
    )


def _shown(event: Event) -> dict[str, object]:
    text = timeline.describe({"kind": event.kind, "source": event.source, **event.data})
    return {"time": event.virtual, "kind": event.kind, "source": event.source, "text": text}


def _number(text: str) -> int | None:
    """A number that a browser sent; None for what is none, or far too long for one."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def _handler(site: Site) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30.0

        def do_GET(self) -> None:
            try:
                self._get()
            except UsageError as error:
                self._answer(404, "text/plain", f"{error}\n")
            except HarnessError as error:  # a part of the stack has just gone
                self._answer(503, "text/plain", f"{error}\n")
            except ConnectionError:  # the browser has gone away
                self.close_connection = True

        def _get(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if not self._own_host():
                self._answer(421, "text/plain", "this page is for http://127.0.0.1 only\n")
            elif parts.path == "/":
                self._answer(200, "text/html", site.index())
            elif parts.path == "/events":
                since = _number(query.get("since", ["0"])[0])
                self._answer(200, "application/json", json.dumps(site.events(since or 0), default=str))
            elif parts.path == "/timeline":
                self._answer(200, "text/html", site.timeline())
            elif parts.path == "/timeline/since":
                since = _number(query.get("since", ["0"])[0])
                self._answer(200, "application/json", json.dumps(site.newer(since or 0), separators=(",", ":"), default=str))
            elif parts.path == "/screen":
                self._answer(200, "text/html", screens.shown(screens.find(site.stack.clients, query.get("client", [""])[0])))
            elif parts.path == "/screen.png":
                self._picture(query.get("client", [""])[0])
            elif parts.path == "/history.jsonl":
                self._answer(200, "text/plain", "".join(event.as_json() + "\n" for event in site.stack.history))
            elif parts.path == "/scenario":
                self._answer(200, "text/plain", site.scenario(), {"Content-Disposition": 'attachment; filename="recorded.scenario.yaml"'})
            else:
                self._answer(404, "text/plain", "no such page\n")

        def _picture(self, client: str) -> None:
            try:
                self._answer(200, "image/png", site.screens.picture(screens.find(site.stack.clients, client)))
            except screens.NoScreen:  # which comes and goes with each job; no error in the browser's console
                self._answer(204, "text/plain", "")

        def do_POST(self) -> None:
            length = _number(self.headers.get("Content-Length", ""))
            if length is None or length > MOST_FORM:
                self.close_connection = True
                self._answer(413, "text/plain", f"a form of at most {MOST_FORM} bytes, and its Content-Length, please\n")
                return
            form = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
            if urlsplit(self.path).path != "/do":
                self._answer(404, "text/plain", "no such page\n")
            elif not self._own_host() or not secrets.compare_digest(form.get("token", [""])[0].encode(), site.token.encode()):
                self._answer(403, "text/plain", "buttons work from the page itself only\n")
            else:
                site.press(form)
                self._answer(303, "text/plain", "done\n", {"Location": "/"})  # so that a reload presses nothing again

        def _own_host(self) -> bool:
            return self.headers.get("Host", "").rpartition(":")[0] in _HOSTS

        def _answer(self, status: int, kind: str, content: str | bytes, more: Mapping[str, str] | None = None) -> None:
            body = content.encode("utf-8") if isinstance(content, str) else content
            self.send_response(status)
            own = kind == "text/html" and not self.path.startswith("/timeline")
            charset = "; charset=utf-8" if isinstance(content, str) else ""
            headers = {"Content-Type": f"{kind}{charset}", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
            for name, value in {**headers, **({"Content-Security-Policy": _CSP} if own else {}), **(more or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler
