"""The time of a stack as a scenario steers it: faster, skipped ahead, set back, skewed on one host.

`StackClock` holds the `Clock` that is in force and hands every new one to whoever lives by it: the projects on the server and the
clients' containers, at the same moment. Nothing has to be told afterwards, since a clock is a function of real time.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.clock import Clock
from harness.errors import HarnessError, UsageError
from harness.guirpc.errors import GuiRpcError
from harness.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from harness.client import Client
    from harness.jobs import Result

#: result.server_state of a result that a host works on (db/boinc_db_types.h)
IN_PROGRESS = 4
#: virtual seconds that a skip goes beyond what it skips to, so that what is due then is really due
MARGIN = 2.0


class Steered(Protocol):
    """Something that lives by the stack's clock."""

    name: str

    def set_clock(self, clock: Clock) -> None: ...


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Something that will happen by itself at virtual time `at`: `what` (deadline, transfer, scheduler rpc, work fetch) of `thing`."""

    at: float
    what: str
    thing: str

    def __str__(self) -> str:
        return f"{self.what} of {self.thing}"


@dataclass(frozen=True, slots=True)
class Skew:
    """How one host's clock differs: `seconds` ahead (negative: behind) at real time `since`, running `drift` times the stack's rate."""

    seconds: float
    drift: float = 1.0
    since: float = 0.0

    def of(self, clock: Clock) -> Clock:
        """The host's own clock while the stack shows `clock`."""
        gained = (time.time() - self.since) * clock.rate * (self.drift - 1.0)
        now = time.time()
        return Clock(now, clock.at(now) + self.seconds + gained, clock.rate * self.drift)


class StackClock:
    """The clock of a stack. All times are unix seconds, `virtual` ones unless said otherwise.

    A stack in real time can not be steered: its clients run without a clock of their own (`UsageError`).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = [0.0]
        self._past = [clock]
        self._steered: list[Steered] = []
        self._skews: dict[str, Skew] = {}
        self._due: list[Callable[[], Iterable[Due]]] = []
        #: told of every change (kind, source, fields): the stack's history
        self.note: Callable[..., object] | None = None
        #: raised instead of steering, where the project server lives by the wall's clock
        self.fixed: HarnessError | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<StackClock {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(self.now()))} x{self.rate:g}>"

    # --- what a Clock can

    @property
    def current(self) -> Clock:
        """The clock in force, as a value."""
        return self._clock

    @property
    def rate(self) -> float:
        return self._clock.rate

    @property
    def is_real(self) -> bool:
        return self._clock.is_real

    def at(self, real: float) -> float:
        """The virtual time at a real time, past ones included: by the clock that was in force then."""
        with self._lock:
            return self._past[max(0, bisect.bisect_right(self._since, real) - 1)].at(real)

    def now(self) -> float:
        return self._clock.now()

    def real_seconds(self, virtual_seconds: float) -> float:
        """How long `virtual_seconds` last in reality, if nobody skips them."""
        return self._clock.real_seconds(virtual_seconds)

    def spec(self) -> list[float]:
        return self._clock.spec()

    def environment(self, name: str = "") -> dict[str, str]:
        """The environment of a container that shall live by this clock; empty for real time."""
        return self.of(name).environment()

    # --- who lives by it

    def of(self, name: str) -> Clock:
        """The clock of one host, its skew included."""
        skew = self._skews.get(name)
        return self._clock if skew is None else skew.of(self._clock)

    def steer(self, thing: Steered) -> None:
        """Hand every new clock to `thing` from now on."""
        with self._lock:
            self._steered.append(thing)

    def foresee(self, source: Callable[[], Iterable[Due]]) -> None:
        """Ask `source` too for what is due when `skip_to_next` looks for it."""
        self._due.append(source)

    # --- steering

    def set(self, clock: Clock) -> None:
        """Put another clock in force everywhere. Takes about 0.1 s for each client."""
        self._need_steering()
        with self._lock:
            self._past.append(clock)
            self._since.append(time.time())
            self._clock = clock
            things = list(self._steered)
        for thing in things:
            thing.set_clock(self.of(thing.name))

    def skip(self, seconds: float) -> None:
        """Let `seconds` pass at once (negative: go back). Deadlines, backoffs and delays that end meanwhile have ended."""
        now = time.time()
        self.set(Clock(now, self._clock.at(now) + seconds, self._clock.rate))
        if self.note is not None:
            self.note("clock.skipped", "clock", seconds=seconds)

    def skip_to(self, moment: float) -> None:
        """Make it that time (virtual unix seconds)."""
        self.skip(moment - self.now())

    def set_rate(self, rate: float) -> None:
        """Let time run `rate` times as fast as in reality from now on."""
        self.set(self._clock.at_rate(Clock.fast(rate).rate))  # `fast` refuses a rate that would lie
        if self.note is not None:
            self.note("clock.rate", "clock", rate=rate)

    def due(self) -> list[Due]:
        """What will happen by itself and when, soonest first."""
        now = self.now()
        return sorted(due for source in self._due for due in source() if due.at > now)

    def next_due(self, what: str = "", *, within: Deadline | float = 10.0) -> Due:
        """The next thing that will happen by itself (of a kind whose name begins with `what`), as soon as there is one."""

        def announced() -> Due | None:
            return next((due for due in self.due() if due.what.startswith(what)), None)

        def others() -> str:
            return "; ".join(str(due) for due in self.due()) or "nothing is due at all"

        return wait_until(
            announced, f"something to wait for: {what or 'a deadline, a backoff or an RPC'}", within=within, last_state=others
        )

    def skip_to_next(self, what: str = "", *, within: Deadline | float = 10.0) -> Due:
        """Skip to what `next_due` gives, and return it. Raises `WaitTimeout` when there is no such thing within (real) seconds."""
        due = self.next_due(what, within=within)
        self.skip(due.at + MARGIN - self.now())
        return due

    def skew(self, host: Steered, seconds: float = 0.0, *, drift: float = 1.0) -> None:
        """Make one host's clock differ from the stack's; no arguments: no longer."""
        self._need_steering()
        with self._lock:
            if seconds == 0.0 and drift == 1.0:
                self._skews.pop(host.name, None)
            else:
                self._skews[host.name] = Skew(seconds, drift, time.time())
        host.set_clock(self.of(host.name))

    def _need_steering(self) -> None:
        if self.fixed is not None:
            raise self.fixed
        if self._clock.is_real:
            raise UsageError(
                "a stack in real time cannot be steered",
                thing=repr(self),
                expected="a stack with virtual time",
                remedy="mark the scenario with pytest.mark.virtual_time(reason), so that --real-time leaves it alone",
            )


class Backlog(Protocol):
    """What `due_on_server` asks of a project."""

    name: str

    def results(self) -> list[Result]: ...


def due_on_server(project: Backlog) -> list[Due]:
    """The report deadlines of a project's results in progress."""
    return [
        Due(result.report_deadline, "deadline", result.name)
        for result in project.results()
        if result.server_state == IN_PROGRESS and result.report_deadline > 0
    ]


def due_on_client(client: Client) -> list[Due]:
    """When a client will next contact schedulers, ask for work, and try transfers again; nothing while it does not run."""
    if not client.is_running:
        return []
    found: list[Due] = []
    for project in client.projects():
        where = f"{client.name} with {project.project_name or project.master_url}"
        found += [Due(at, "scheduler rpc", where) for at in (project.min_rpc_time, project.next_rpc_time) if at > 0]
        found += [Due(backoff.value, f"work fetch ({backoff.name})", where) for backoff in project.rsc_backoff_time if backoff.value > 0]
    now = client.stack.clock.of(client.name).now()
    for transfer in client.transfers():
        if transfer.file_xfer is None:
            at = max(transfer.persistent_file_xfer.next_request_time, now + transfer.project_backoff if transfer.project_backoff else 0.0)
            found.append(Due(at, f"{'upload' if transfer.is_upload else 'download'} retry", f"{transfer.name} on {client.name}"))
    return found


def put_off(clients: Iterable[Client]) -> Due | None:
    """The next thing that one of these clients has put off; None if there is nothing, or while one computes, transfers or
    talks to a scheduler: it may be given a task with a deadline.

    A client that cannot be asked (it has just been killed, say) has nothing to tell.
    """
    found: list[Due] = []
    for client in clients:
        try:
            if client.is_running and _is_busy(client):
                return None
            now = client.stack.clock.of(client.name).now()
            found += [due for due in due_on_client(client) if due.at > now]
        except GuiRpcError:
            continue
    return min(found, default=None)


def _is_busy(client: Client) -> bool:
    return (
        any(task.is_running for task in client.tasks())
        or any(transfer.is_active for transfer in client.transfers())
        or any(project.scheduler_rpc_in_progress for project in client.projects())
    )
