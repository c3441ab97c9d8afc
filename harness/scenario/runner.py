"""A scenario file on a stack: start what it declares, go through its timeline, look at what it expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import HarnessError
from harness.scenario.checks import Claim, Finding, claims, progress, settle
from harness.scenario.expectations import Expectation
from harness.scenario.loader import LoadedScenario
from harness.scenario.timeline import Timeline
from harness.scenario.world import ScenarioWorld
from harness.stack import Stack
from harness.waiting import Deadline


class ScenarioFailed(HarnessError):
    """Something that a scenario file expects did not come true. Field: `findings`, those that did not hold."""

    def __init__(self, loaded: LoadedScenario, findings: Sequence[Finding]) -> None:
        self.findings = findings
        super().__init__(
            loaded.scenario.scenario,
            thing=str(loaded.file.name),
            expected="; ".join(finding.text for finding in findings),
            details="\n".join(f"{loaded.file.name}:{finding.line}: {finding.text}\n    seen: {finding.seen}" for finding in findings),
        )


def run(loaded: LoadedScenario, stack: Stack) -> list[Finding]:
    """Run a scenario; what became of each expectation, in the order of the file.

    Raises `ScenarioFailed` when something expected did not come true, and what a step raised if one could not be done. Findings
    are events of the history too (expect.met, expect.failed), so that the record tells the whole story.
    """
    world = ScenarioWorld(loaded, stack)
    stack.history.add("scenario.began", "scenario", scenario=loaded.scenario.scenario, file=loaded.file.name, issue=loaded.scenario.issue)
    world.prepare_project()
    if _looks_at_mails(loaded):
        stack.mail  # noqa: B018 - starts the mail sink before anything sends one
    timeline = Timeline(world)
    timeline.inject_at_once()
    from_step = {getattr(step, "submit", None) for step in loaded.scenario.steps}
    for job in loaded.scenario.jobs:
        if job.name not in from_step:
            world.submit(job)
    world.start_clients()
    timeline.run()
    findings = _settle(world)
    failed = [finding for finding in findings if not finding.held]
    if failed:
        raise ScenarioFailed(loaded, failed)
    return findings


def _settle(world: ScenarioWorld) -> list[Finding]:
    """First what is waited for, then what must have held all the time."""
    expected: list[tuple[int, int, Expectation, Claim]] = []
    for index, expectation in enumerate(world.scenario.expect):
        line = world.loaded.line("expect", index)
        expected.extend((len(expected), line, expectation, claim) for claim in claims(world, expectation))
    findings: dict[int, Finding] = {}
    given_up = False
    for number, line, expectation, claim in sorted(expected, key=lambda one: one[3].lasting):
        # One that took its whole time in vain has told enough: the others are looked at once.
        finding = settle(claim, line, Deadline(0 if given_up else expectation.within))
        given_up = given_up or not finding.held
        findings[number] = replace(finding, progress=progress(world, expectation))
        kind = "expect.met" if finding.held else "expect.failed"
        world.stack.history.add(kind, "scenario", text=finding.text, seen=finding.seen, line=finding.line)
    return [findings[number] for number in sorted(findings)]


def _looks_at_mails(loaded: LoadedScenario) -> bool:
    scenario = loaded.scenario
    return any(one.verb in ("mail", "no_mail") for one in scenario.expect) or any(step.verb == "create_account" for step in scenario.steps)
