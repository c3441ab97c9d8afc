"""When each step and each fault of a scenario comes: triggers, and the loop that looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.errors import HarnessError, UsageError
from harness.scenario import actions
from harness.scenario.faults import FaultModel, HttpFault
from harness.scenario.steps import EventPattern, Step, Trigger, WaitForStep, WaitStep
from harness.scenario.world import ScenarioWorld
from harness.waiting import Deadline, wait_until

#: real seconds between two looks at the triggers
LOOK = 0.02
#: real seconds that a scenario may do nothing but wait for its clock
LONGEST_PAUSE = 600.0


class StepFailed(HarnessError):
    """A step of a scenario file could not be done. Fields: `line` of the file, `step` (its verb), `why`."""

    def __init__(self, file: str, line: int, step: str, why: HarnessError) -> None:
        self.line = line
        self.step = step
        self.why = why
        super().__init__("a step failed", thing=f"{step} ({file}:{line})", expected="it to be done", details=str(why))


@dataclass
class Item:
    """Something that happens once when its trigger comes; `previous` is what it follows if it has no trigger."""

    trigger: Trigger
    label: str
    line: int
    act: Callable[[], None]
    name: str | None = None
    previous: Item | None = None
    done: bool = False
    armed: Deadline | None = None
    resume_at: float | None = field(default=None)


class Timeline:
    """The steps and faults of a scenario, in the order in which their triggers come; one at a time."""

    def __init__(self, world: ScenarioWorld) -> None:
        self._world = world
        self._items: list[Item] = []
        self._began = 0.0
        self._by_name: dict[str, Item] = {}
        previous: Item | None = None
        for index, step in enumerate(world.scenario.steps):
            item = Item(step, step.verb, world.loaded.line("steps", index), self._act(step), step.name, previous)
            self._add(item)
            previous = item
        for index, fault in enumerate(world.scenario.faults):
            if fault.start and not is_immediate(fault):
                item = Item(fault, f"fault {fault.verb}", world.loaded.line("faults", index), lambda fault=fault: self._inject(fault))  # type: ignore[misc]
                self._add(item)

    def _add(self, item: Item) -> None:
        self._items.append(item)
        if item.name is not None:
            self._by_name[item.name] = item

    def _act(self, step: Step) -> Callable[[], None]:
        return lambda: actions.perform(self._world, step)

    def inject_at_once(self) -> None:
        """The faults that are in force before anything is started."""
        self._began = self._world.stack.clock.now()
        if any(isinstance(fault, HttpFault) for fault in self._world.scenario.faults):
            # behind the proxy from the start: a client that is moved there later loses its connections
            self._world.stack.use_proxy()
        for fault in self._world.scenario.faults:
            if fault.start and is_immediate(fault):
                self._inject(fault)

    def _inject(self, fault: FaultModel) -> None:
        begun = actions.inject(self._world, fault)
        if fault.lasts is not None:
            trigger = Trigger(at=self._world.stack.clock.now() - self._began + fault.lasts)
            self._items.append(Item(trigger, f"heal {fault.verb}", 0, begun.heal))

    def run(self) -> None:
        """Do everything, each thing when its trigger comes. Raises `StepFailed`, or `WaitTimeout` for a trigger that never comes."""
        clock = self._world.stack.clock
        self._began = clock.now()
        for item in self._items:
            self._check_pause(item)
        while pending := [item for item in self._items if not item.done]:
            ready = self._next(pending)
            self._do(ready)

    def _check_pause(self, item: Item) -> None:
        steps = self._world.scenario.steps
        if any(step.verb in ("skip_to_next", "fast_forward") for step in steps):
            return
        skipped = sum(getattr(step, "skip", 0.0) for step in steps) if item.trigger.at is not None else 0.0
        waits = item.trigger.at if item.trigger.at is not None else getattr(item.trigger, "wait", 0.0)
        real = self._world.stack.clock.real_seconds(max(0.0, waits - skipped))
        if real > LONGEST_PAUSE:
            raise UsageError(
                "a step that nobody will wait for",
                thing=f"{item.label} ({self._world.loaded.file}:{item.line})",
                expected=f"at most {LONGEST_PAUSE:.0f} real seconds of waiting; this is {real:.0f} s by the stack's clock",
                remedy="let time pass at once: `- {skip: 7d}` or `- {skip_to_next: deadline}`",
            )

    def _next(self, pending: Sequence[Item]) -> Item:
        """Wait for the first item whose trigger has come."""

        def look() -> Item | None:
            self._raise_if_broken()
            for item in pending:
                if self._is_armed(item) and self._has_come(item):
                    return item
            for item in pending:
                if item.trigger.on is not None and item.armed is not None and item.armed.expired:
                    raise StepFailed(self._file, item.line, item.label, self._never_came(item))
            return None

        longest = max(self._patience(item) for item in pending)
        first = pending[0]
        return wait_until(
            look,
            f"the trigger of {first.label} ({self._file}:{first.line})",
            within=longest,
            every=LOOK,
            last_state=self._world.stack.history.tail,
        )

    def _never_came(self, item: Item) -> HarnessError:
        pattern = item.trigger.on
        wanted = pattern if isinstance(pattern, str) else pattern.event if pattern else ""
        return HarnessError(
            f"its event did not come within {item.trigger.within:g} s",
            thing=wanted,
            expected=f"it; last came {self._world.stack.history.tail()}",
        )

    def _patience(self, item: Item) -> float:
        pause = item.trigger.at or getattr(item.trigger, "wait", 0.0) or 0.0
        return item.trigger.within + self._world.stack.clock.real_seconds(pause) + 5.0

    @property
    def _file(self) -> str:
        return self._world.loaded.file.name

    def _raise_if_broken(self) -> None:
        broken = self._world.stack.history.broken
        if broken is not None:
            raise broken

    def _is_armed(self, item: Item) -> bool:
        """Is it this item's turn to wait? From then on its time limit counts."""
        trigger = item.trigger
        if trigger.after is not None:
            before: Item | None = self._by_name[trigger.after]
        elif trigger.at is None and trigger.on is None:
            before = item.previous
        else:
            before = None
        if before is not None and not before.done:
            return False
        if item.armed is None:
            item.armed = Deadline(trigger.within)
            pause = getattr(trigger, "wait", None)
            if isinstance(trigger, WaitStep) and pause is not None:
                item.resume_at = self._world.stack.clock.now() + pause
        return True

    def _has_come(self, item: Item) -> bool:
        trigger, clock = item.trigger, self._world.stack.clock
        if trigger.at is not None and clock.now() < self._began + trigger.at:
            return False
        if item.resume_at is not None and clock.now() < item.resume_at:
            return False
        return trigger.on is None or self._happened(trigger.on)

    def _happened(self, wanted: str | EventPattern) -> bool:
        pattern = EventPattern(event=wanted) if isinstance(wanted, str) else wanted
        selected = self._world.select(pattern)
        return sum(1 for event in self._world.events(pattern.since) if selected(event)) >= pattern.count

    def _do(self, item: Item) -> None:
        if item.name is not None:
            self._world.step_began[item.name] = len(self._world.stack.history)
        try:
            item.act()
            if isinstance(item.trigger, WaitForStep):
                step = item.trigger
                wait_until(
                    lambda: self._happened(step.wait_for),
                    f"{step.wait_for}",
                    within=step.within,
                    every=LOOK,
                    last_state=self._world.stack.history.tail,
                )
        except HarnessError as error:
            raise StepFailed(self._file, item.line, item.label, error) from error
        item.done = True
        self._world.stack.history.add("step.done", "scenario", step=item.label, name=item.name, line=item.line)


def is_immediate(fault: FaultModel) -> bool:
    """Is this fault in force before the clients start? Those of HTTP that concern all clients are; the others need a client."""
    return isinstance(fault, HttpFault) and fault.client is None and fault.at is None and fault.on is None and fault.after is None
