"""Whatever volunteers, admins and time do, in any order: legal transitions only, everything exactly once.

The machine's rules are what can happen to a project; the invariants hold after each of them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from boinc_server import models, work
from boinc_server.mail import Mailer
from boinc_server.registry import Registry
from boinc_server.states import AssimilateState, Outcome, ServerState, ValidateState
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .conftest import World

DAY = 86400
LEGAL = {
    ServerState.UNSENT: {ServerState.UNSENT, ServerState.IN_PROGRESS, ServerState.OVER},
    ServerState.IN_PROGRESS: {ServerState.IN_PROGRESS, ServerState.OVER},
    ServerState.OVER: {ServerState.OVER},
}
FINAL_OUTCOMES = {Outcome.SUCCESS, Outcome.CLIENT_ERROR, Outcome.VALIDATE_ERROR, Outcome.DIDNT_NEED, Outcome.COULDNT_SEND}


class ProjectMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.registry = Registry(self.directory, "http://boinc.test/", Mailer())
        self.world = World(self.registry)
        self.hosts = [self.world.host() for _ in range(3)]
        self.seen_results = {}
        self.seen_canonical = {}
        self.finished = {}

    def teardown(self):
        self.registry.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @rule(
        quorum=st.integers(1, 3),
        extra=st.integers(0, 1),
        errors=st.integers(1, 2),
        total=st.integers(0, 3),
    )
    def submit(self, quorum, extra, errors, total):
        target = quorum + extra
        self.world.job(
            min_quorum=quorum,
            target_nresults=target,
            max_error_results=min(errors, target + total),
            max_success_results=target + total,
            max_total_results=target + total,
            delay_bound=DAY,
        )

    @rule(which=st.integers(0, 2), held=st.booleans())
    def fetch(self, which, held):
        self.hosts[which].rpc(1.0, other_results=held)

    @rule(which=st.integers(0, 2), content=st.sampled_from([b"right", b"right", b"wrong"]), again=st.booleans())
    def report(self, which, content, again):
        host = self.hosts[which]
        names = list(host.tasks) if again else list(host.client.held)
        if names:
            host.report(names[-1], content)

    @rule(which=st.integers(0, 2), exit_status=st.sampled_from([1, 202, 203]))
    def fail(self, which, exit_status):
        host = self.hosts[which]
        if host.client.held:
            host.fail(host.client.held[0], exit_status)

    @rule(which=st.integers(0, 2))
    def lose(self, which):
        self.hosts[which].client.held.clear()

    @rule(seconds=st.sampled_from([60, DAY // 2, DAY + 2, 30 * DAY]))
    def wait(self, seconds):
        self.world.advance(seconds)

    @rule(pick=st.integers(0, 10))
    def cancel(self, pick):
        jobs = self.world.rows(models.workunit)
        if jobs and pick < 2:
            with self.world.project.transaction() as tx:
                work.cancel(tx, jobs[pick % len(jobs)].id)

    @rule()
    def restart(self):
        self.registry.close()
        self.registry = Registry(self.directory, "http://boinc.test/", Mailer())
        self.registry.load()
        self.world.project = self.registry[self.world.project.name]

    @invariant()
    def transitions_are_legal(self):
        for row in self.world.rows(models.result):
            state = ServerState(row.server_state)
            before = self.seen_results.get(row.id)
            if before is not None:
                assert state in LEGAL[before[0]]
                if before[1] in FINAL_OUTCOMES and before[0] == ServerState.OVER:
                    changed_by_validator = before[1] == Outcome.SUCCESS and row.outcome == Outcome.VALIDATE_ERROR
                    assert row.outcome == before[1] or changed_by_validator
            self.seen_results[row.id] = (state, Outcome(row.outcome))
            assert (state == ServerState.OVER) == (row.outcome != Outcome.INIT)

    @invariant()
    def one_canonical_result_for_ever(self):
        results = {row.id: row for row in self.world.rows(models.result)}
        for wu in self.world.rows(models.workunit):
            if wu.canonical_resultid:
                chosen = self.seen_canonical.setdefault(wu.id, wu.canonical_resultid)
                assert wu.canonical_resultid == chosen
                assert results[chosen].validate_state == ValidateState.VALID
                assert results[chosen].workunitid == wu.id

    @invariant()
    def credit_is_granted_once(self):
        granted = {}
        for row in self.world.rows(models.result):
            assert (row.granted_credit > 0) == (row.validate_state == ValidateState.VALID)
            granted[row.hostid] = granted.get(row.hostid, 0) + row.granted_credit
        for host in self.world.rows(models.host):
            assert host.total_credit == pytest.approx(granted.get(host.id, 0))
        events = [event["result"] for event in self.world.events("credit.granted")]
        assert len(events) == len(set(events))

    @invariant()
    def everything_happens_once(self):
        for kind in ("job.validated", "job.assimilated", "job.created", "job.files_deleted"):
            jobs = [event["workunit"] for event in self.world.events(kind)]
            assert len(jobs) == len(set(jobs)), kind

    @invariant()
    def no_job_is_left_behind(self):
        results = self.world.rows(models.result)
        for wu in self.world.rows(models.workunit):
            mine = [r for r in results if r.workunitid == wu.id]
            assert mine
            assert len(mine) <= wu.max_total_results
            decided = wu.canonical_resultid or wu.error_mask
            assert bool(decided) == (wu.assimilate_state == AssimilateState.DONE)
            if all(r.server_state == ServerState.OVER for r in mine):
                assert decided, "all results are over, so the job must be"
            assert not wu.need_validate
            if not decided:
                assert wu.transition_time > self.world.project.clock.int_now() - 1

    @invariant()
    def events_are_numbered_without_gaps(self):
        numbers = [event["seq"] for event in self.world.events()]
        assert numbers == list(range(1, len(numbers) + 1))


TestProject = ProjectMachine.TestCase
TestProject.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
