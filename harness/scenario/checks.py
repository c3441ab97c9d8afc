"""Whether what a scenario expects has come true: each expectation as claims, each claim as a look at the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import HarnessError
from harness.history import Event
from harness.jobs import ErrorMask, Outcome
from harness.scenario import expectations as expected
from harness.scenario.values import read_content
from harness.scenario.world import ScenarioWorld
from harness.waiting import Deadline, WaitTimeout, wait_until

#: (does it hold, what was seen)
Look = Callable[[], tuple[bool, str]]
_REACHED_BY: Final = {
    "unsent": "job.created",
    "sent": "result.sent",
    "reported": "result.reported",
    "validated": "job.validated",
    "assimilated": "job.assimilated",
    "error": "job.error",
    "cancelled": "job.cancelled",
}
#: what can no longer come once this has happened
_RULED_OUT_BY: Final = {"validated": "job.error"}
_EVERY: Final = 0.05
_MILESTONES: Final = frozenset({"host.created", "client.started", "result.sent", "task.state", "upload.done", "result.reported"})


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that is expected. `lasting`: it has to hold at the very end ("never ..."), so nobody waits for it."""

    text: str
    look: Look
    lasting: bool = False
    #: why waiting on is in vain, or ""
    ruled_out: Callable[[], str] = str


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a claim: the line of the file, whether it held, what was seen, real seconds of waiting.

    `progress`: the milestones that what it is about had reached. A job that fails for want of a client fails in another way than
    one whose upload is refused.
    """

    line: int
    text: str
    held: bool
    seen: str
    seconds: float = 0.0
    progress: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}: {'held' if self.held else 'did not hold'}; seen: {self.seen}"


def settle(claim: Claim, line: int, deadline: Deadline) -> Finding:
    """Wait until a claim holds, or until time is up."""
    began = Deadline(0)
    seen = "nothing"

    def holds() -> bool:
        nonlocal seen
        try:
            held, seen = claim.look()
        except HarnessError as error:
            held, seen = False, str(error).splitlines()[0]
        if not held and (why := claim.ruled_out()):
            raise _RuledOut(why)
        return held

    try:
        wait_until(holds, claim.text, within=Deadline(0) if claim.lasting else deadline, every=_EVERY)
    except WaitTimeout:
        return Finding(line, claim.text, held=False, seen=seen, seconds=began.elapsed)
    except _RuledOut as error:
        return Finding(line, claim.text, held=False, seen=f"{seen}; {error.what}", seconds=began.elapsed)
    return Finding(line, claim.text, held=True, seen=seen, seconds=began.elapsed)


def progress(world: ScenarioWorld, expectation: expected.Expectation) -> frozenset[str]:
    """The milestones that the job of an expectation, or else the whole stack, has reached."""
    job = getattr(expectation, "job", None)
    about = world.concerns(job) if job is not None else lambda _event: True
    return frozenset(event.kind for event in world.stack.history if event.kind in _MILESTONES and about(event))


class _RuledOut(HarnessError):
    """It can no longer come true."""


def claims(world: ScenarioWorld, expectation: expected.Expectation) -> Iterator[Claim]:
    """What an expectation claims, in the order in which it is looked at."""
    makers: dict[type[expected.Expectation], Callable[[ScenarioWorld, Any], Iterator[Claim]]] = {
        expected.JobExpectation: _job,
        expected.ClientExpectation: _client,
        expected.EventExpectation: _event,
        expected.NoEventExpectation: _no_event,
        expected.OrderExpectation: _order,
        expected.MailExpectation: _mail,
        expected.NoMailExpectation: _no_mail,
        expected.LogExpectation: _log,
    }
    yield from makers[type(expectation)](world, expectation)


def _count(world: ScenarioWorld, chosen: Callable[[Event], bool]) -> int:
    return sum(1 for event in world.stack.history if chosen(event))


def _number(what: str, wanted: float | expected.Between, value: Callable[[], float]) -> Claim:
    bounds = wanted if isinstance(wanted, expected.Between) else expected.Between(at_least=wanted, at_most=wanted)
    text = f"{what} is {wanted:g}" if not isinstance(wanted, expected.Between) else f"{what} is within {_bounds(wanted)}"
    return Claim(text, lambda: (bounds.holds(number := value()), f"{number:g}"))


def _bounds(between: expected.Between) -> str:
    low = "" if between.at_least is None else f"{between.at_least:g}"
    high = "" if between.at_most is None else f"{between.at_most:g}"
    return f"{low}..{high}"


def _contains(text: str, wanted: str) -> tuple[bool, str]:
    return wanted in text, _short(text)


def _short(text: str) -> str:
    text = repr(text)
    return text if len(text) <= 300 else f"{text[:140]} ... {text[-140:]}"


def _job(world: ScenarioWorld, wanted: expected.JobExpectation) -> Iterator[Claim]:
    name = wanted.job
    if wanted.reaches is not None:
        yield _reaches(world, name, wanted.reaches, wanted.times)
    if wanted.never is not None:
        never = world.selector(_REACHED_BY[wanted.never], job=name)
        yield Claim(f"{name} was never {wanted.never}", lambda: ((number := _count(world, never)) == 0, f"{number} times"), lasting=True)
    if wanted.output is not None:
        content = read_content(wanted.output, world.loaded.folder)
        text = isinstance(wanted.output, str)

        def same() -> tuple[bool, str]:
            output = world.job(name).output(wanted.output_name)
            equal = output.rstrip(b"\r\n") == content.rstrip(b"\r\n") if text else output == content
            return equal, f"{len(output)} bytes, {_short(output[:200].decode('utf-8', 'replace'))}"

        yield Claim(f"{name} wrote {_short(content[:60].decode('utf-8', 'replace'))} ({len(content)} bytes)", same)
    if wanted.output_contains is not None:
        part = wanted.output_contains
        yield Claim(
            f"the output of {name} contains {part!r}",
            lambda: _contains(world.job(name).output(wanted.output_name).decode("utf-8", "replace"), part),
        )
    if wanted.outcome is not None:
        outcome = Outcome[wanted.outcome.upper()]
        yield Claim(
            f"the outcome of {name} is {wanted.outcome}", lambda: ((got := world.job(name).result.outcome) is outcome, got.name.lower())
        )
    if wanted.exit_code is not None:
        yield _number(f"the exit status of {name}", wanted.exit_code, lambda: world.job(name).result.exit_status)
    if wanted.stderr_contains is not None:
        words = wanted.stderr_contains
        yield Claim(f"the stderr of {name} contains {words!r}", lambda: _contains(world.job(name).result.stderr, words))
    if wanted.credit is not None:
        yield _number(f"the credit for {name}", wanted.credit, lambda: world.job(name).result.granted_credit)
    if wanted.results is not None:
        yield _number(f"the number of results of {name}", wanted.results, lambda: len(world.job(name).results()))
    if wanted.error_mask is not None:
        mask = ErrorMask(0)
        for error in wanted.error_mask:
            mask |= ErrorMask[error.upper()]
        yield Claim(
            f"the error mask of {name} is {' and '.join(wanted.error_mask) or 'empty'}",
            lambda: ((got := world.job(name).error_mask) == mask, _bits(got)),
        )


def _bits(mask: ErrorMask) -> str:
    return " and ".join(str(bit.name).lower() for bit in ErrorMask if bit in mask) or "empty"


def _reaches(world: ScenarioWorld, job: str, state: str, times: int) -> Claim:
    chosen = world.selector(_REACHED_BY[state], job=job)
    unwanted = _RULED_OUT_BY.get(state)
    fatal = world.selector(unwanted, job=job) if unwanted else None

    def look() -> tuple[bool, str]:
        number = _count(world, chosen)
        return number >= times, f"{number} times" if times > 1 else (state if number else world.job(job).describe())

    def ruled_out() -> str:
        return f"the job failed ({unwanted})" if fatal is not None and _count(world, fatal) else ""

    return Claim(f"{job} gets {state}" + (f" {times} times" if times > 1 else ""), look, ruled_out=ruled_out)


def _client(world: ScenarioWorld, wanted: expected.ClientExpectation) -> Iterator[Claim]:
    name = wanted.client

    def said(text: str) -> list[str]:
        chosen = world.selector("client.message", client=name)
        return [str(event.get("text")) for event in world.stack.history if chosen(event) and text in str(event.get("text"))]

    if wanted.says is not None:
        words = wanted.says
        yield Claim(
            f"{name} says {words!r}", lambda: (bool(lines := said(words)), _short(lines[0]) if lines else _last_message(world, name))
        )
    if wanted.never_says is not None:
        unwanted = wanted.never_says
        yield Claim(f"{name} never says {unwanted!r}", lambda: (not (lines := said(unwanted)), _short("; ".join(lines[:3]))), lasting=True)
    if wanted.notice is not None:
        notice = wanted.notice
        yield Claim(f"{name} shows the notice {notice!r}", lambda: _contains("\n".join(_notices(world, name)), notice))
    if wanted.log_contains is not None:
        part = wanted.log_contains
        yield Claim(
            f"the log of {name} contains {part!r}", lambda: (part in (log := world.client(name).log()), f"its end: {_short(log[-300:])}")
        )
    if wanted.tasks is not None:
        yield _number(f"the number of tasks on {name}", wanted.tasks, lambda: len(world.client(name).tasks()))
    if wanted.attached is not None:
        yield Claim(f"{name} is {'' if wanted.attached else 'not '}attached", lambda: _attached(world, name, wanted.attached is True))


def _attached(world: ScenarioWorld, client: str, wanted: bool) -> tuple[bool, str]:
    urls = [known.master_url for known in world.client(client).projects()]
    return (world.project.master_url in urls) == wanted, ", ".join(urls) or "no project"


def _notices(world: ScenarioWorld, client: str) -> list[str]:
    return [notice.description for notice in world.client(client).rpc().get_notices(0)]


def _last_message(world: ScenarioWorld, client: str) -> str:
    chosen = world.selector("client.message", client=client)
    messages = [event for event in world.stack.history if chosen(event)]
    return f"its last words: {_short(str(messages[-1].get('text')))}" if messages else "no message at all"


def _event(world: ScenarioWorld, wanted: expected.EventExpectation) -> Iterator[Claim]:
    chosen = world.select(wanted)

    def look() -> tuple[bool, str]:
        number = sum(1 for event in world.events(wanted.since) if chosen(event))
        return number >= wanted.count, f"{number} of them"

    yield Claim(f"{_words(wanted.event, wanted)} happens" + (f" {wanted.count} times" if wanted.count > 1 else ""), look)


def _no_event(world: ScenarioWorld, wanted: expected.NoEventExpectation) -> Iterator[Claim]:
    chosen = world.selector(wanted.no_event, job=wanted.job, client=wanted.client, text=wanted.text, fields=dict(wanted.fields))

    def look() -> tuple[bool, str]:
        found = [event for event in world.stack.history if chosen(event)]
        return not found, f"{len(found)} of them" + (f", first: {found[0]}" if found else "")

    yield Claim(f"{_words(wanted.no_event, wanted)} never happens", look, lasting=True)


def _words(kind: str, wanted: expected.EventExpectation | expected.NoEventExpectation) -> str:
    more = [
        f"{name}={value}" for name, value in (("job", wanted.job), ("client", wanted.client), *wanted.fields.items()) if value is not None
    ]
    if wanted.text:
        more.append(f"with {wanted.text!r}")
    return " ".join([kind, *more])


def _order(world: ScenarioWorld, wanted: expected.OrderExpectation) -> Iterator[Claim]:
    kinds = list(wanted.in_order)

    def look() -> tuple[bool, str]:
        about = world.concerns(wanted.job) if wanted.job is not None else lambda _event: True
        client = wanted.client
        missing = list(kinds)
        for event in world.stack.history:
            if (
                missing
                and event.matches(missing[0], {})
                and about(event)
                and (client is None or client in (event.get("client"), event.source))
            ):
                missing.pop(0)
        done = kinds[: len(kinds) - len(missing)]
        return not missing, f"{' -> '.join(done) or 'none of them'}" + (f"; then no {missing[0]}" if missing else "")

    yield Claim(f"in this order: {' -> '.join(kinds)}", look)


def _mail(world: ScenarioWorld, wanted: expected.MailExpectation) -> Iterator[Claim]:
    address = world.address(wanted.mail)

    def look() -> tuple[bool, str]:
        mails = world.stack.mail.to(address)
        fits = [mail for mail in mails if wanted.subject.lower() in mail.subject.lower() and wanted.text in mail.text]
        return bool(fits), ", ".join(repr(mail.subject) for mail in mails) or "no mail"

    yield Claim(f"{address} gets a mail" + (f" about {wanted.subject!r}" if wanted.subject else ""), look)


def _no_mail(world: ScenarioWorld, wanted: expected.NoMailExpectation) -> Iterator[Claim]:
    address = world.address(wanted.no_mail)
    yield Claim(f"{address} gets no mail", lambda: (not (mails := world.stack.mail.to(address)), f"{len(mails)} mails"), lasting=True)


def _log(world: ScenarioWorld, wanted: expected.LogExpectation) -> Iterator[Claim]:
    def look() -> tuple[bool, str]:
        log = world.stack.rig.project_server.log(5000) if wanted.log == "server" else world.project.log()
        return wanted.contains in log, f"its end: {_short(log[-300:])}"

    yield Claim(f"the {wanted.log} log contains {wanted.contains!r}", look)
