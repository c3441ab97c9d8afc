"""Deadlines, no reply, late reports, lost results, aborts."""

from __future__ import annotations

from boinc_server import models
from boinc_server.mail import Mailer
from boinc_server.registry import Registry
from boinc_server.states import AssimilateState, Outcome, ServerState, ValidateState
from sqlalchemy import select, update

DAY = 86400


def outcomes(world, job):
    return [(ServerState(r.server_state), Outcome(r.outcome)) for r in world.results(job)]


def test_a_result_past_its_deadline_is_over_and_made_again(world):
    job = world.job(delay_bound=DAY, max_total_results=3)
    one, two = world.host(), world.host()
    one.fetch()
    world.advance(DAY - 10)
    assert outcomes(world, job) == [(ServerState.IN_PROGRESS, Outcome.INIT)]
    world.advance(12)
    assert outcomes(world, job) == [(ServerState.OVER, Outcome.NO_REPLY), (ServerState.UNSENT, Outcome.INIT)]
    assert [e["host"] for e in world.events("result.timed_out")] == [one.id]
    assert two.fetch() == [world.results(job)[1].name]


def test_a_late_result_still_counts_while_nobody_else_has_one(world):
    job = world.job(delay_bound=DAY, max_total_results=3)
    host = world.host()
    [name] = host.fetch()
    world.advance(DAY + 2)
    host.report(name)
    wu = world.wu(job)
    first, second = world.results(job)
    assert wu.canonical_resultid == first.id
    assert (first.outcome, first.validate_state) == (Outcome.SUCCESS, ValidateState.VALID)
    assert second.outcome == Outcome.DIDNT_NEED
    assert world.events("result.reported")[0]["late"] is True


def test_a_result_after_the_files_are_deleted_is_too_late(world):
    job = world.job(delay_bound=DAY, max_total_results=3)
    slow, quick = world.host(), world.host()
    [late] = slow.fetch()
    world.advance(DAY + 2)
    quick.report(quick.fetch()[0])
    assert world.wu(job).file_delete_state == 2
    slow.report(late)
    assert world.results(job)[0].validate_state == ValidateState.TOO_LATE
    assert world.results(job)[0].granted_credit == 0


def test_the_client_gets_the_deadline_without_the_grace_period(world):
    world.configure(report_grace_period=3600)
    job = world.job(delay_bound=DAY)
    host = world.host()
    reply = host.rpc(1.0)
    deadline = world.results(job)[0].sent_time + DAY
    assert f"<report_deadline>{deadline}</report_deadline>" in reply.text
    assert world.results(job)[0].report_deadline == deadline + 3600


def test_lost_results_are_sent_again_instead_of_new_work(world):
    first = world.job(delay_bound=DAY)
    world.job(delay_bound=DAY)
    host = world.host()
    [name] = host.fetch()
    host.client.held.clear()
    world.advance(DAY / 2)
    reply = host.rpc(1.0)
    assert [task.name for task in reply.tasks] == [name]
    assert reply.says(f"Resent lost task {name}")
    [event] = world.events("result.resent")
    row = world.results(first)[0]
    # half of the original span from now, as that is later than the old deadline would allow
    assert row.report_deadline == max(event["deadline"], row.sent_time)


def test_lost_results_are_not_sent_again_without_a_request_for_work(world):
    world.job()
    host = world.host()
    host.fetch()
    host.client.held.clear()
    assert host.rpc(0).tasks == []
    world.configure(resend_lost_results=False)
    assert host.rpc(1.0).tasks == []


def test_a_lost_result_that_nobody_needs_is_expired(world):
    job = world.job(min_quorum=1, target_nresults=2)
    one, two = world.host(), world.host()
    [lost], [kept] = one.fetch(), two.fetch()
    two.report(kept)
    one.client.held.clear()
    reply = one.rpc(1.0)
    assert reply.says(f"Didn't resend lost task {lost} (expired)")
    assert outcomes(world, job)[0] == (ServerState.OVER, Outcome.NO_REPLY)
    assert world.wu(job).assimilate_state == AssimilateState.DONE


def test_a_result_of_an_assimilated_job_is_aborted_if_not_started(world):
    world.job(min_quorum=1, target_nresults=2)
    one, two = world.host(), world.host()
    [running], [done] = one.fetch(), two.fetch()
    two.report(done)
    reply = one.rpc()
    assert (reply.aborts, reply.aborts_if_not_started) == ([], [running])


def test_a_timed_out_result_is_aborted_if_not_started(world):
    world.job(delay_bound=DAY, max_total_results=2)
    host = world.host()
    [name] = host.fetch()
    world.advance(DAY + 2)
    assert host.rpc().aborts_if_not_started == [name]


def test_the_safety_net_comes_after_ten_days_or_more(world):
    job = world.job(delay_bound=20 * DAY)
    assert world.wu(job).transition_time == world.project.clock.int_now() + 30 * DAY


def test_a_restart_finishes_what_was_interrupted(world, registry, tmp_path):
    job = world.job(delay_bound=DAY, max_total_results=3)
    host = world.host()
    host.fetch()
    # As if killed between a commit and the daemons' work on it:
    with world.project.db.begin() as conn:
        conn.execute(update(models.result).values(server_state=5, outcome=3, exit_status=1))
        conn.execute(update(models.workunit).values(transition_time=1, max_error_results=3))
    registry.close()
    again = Registry(tmp_path, "http://boinc.test/", Mailer(), registry.database_url)
    again.load()
    project = again[world.project.name]
    with project.transaction() as tx:
        rows = tx.all(select(models.result).where(models.result.c.workunitid == job))
    assert [r.server_state for r in rows] == [ServerState.OVER, ServerState.UNSENT]
    assert project.events.last_seq > 0
    again.close()


def test_stopped_daemons_catch_up(world):
    job = world.job()
    host = world.host()
    [name] = host.fetch()
    world.configure(stop_daemons=True)
    host.report(name)
    assert world.wu(job).canonical_resultid == 0
    world.advance(DAY)
    assert world.wu(job).canonical_resultid == 0
    world.configure(stop_daemons=False)
    world.advance(2)
    assert world.wu(job).canonical_resultid


def test_a_resent_result_gets_the_grace_period_once(world):
    world.configure(report_grace_period=3600)
    job = world.job(delay_bound=DAY)
    host = world.host()
    host.fetch()
    sent = world.results(job)[0].sent_time
    for _ in range(3):
        host.client.held.clear()
        host.rpc(1.0)
    assert world.results(job)[0].report_deadline == sent + DAY + 3600


def test_only_so_many_results_are_taken_in_one_rpc(world):
    world.configure(max_results_accepted=2)
    for _ in range(3):
        world.job()
    host = world.host()
    names = host.fetch(1e6)
    finished = [host.done(name) for name in names]
    assert host.rpc(finished=finished).acks == names[:2]
    assert host.rpc(finished=finished[2:]).acks == names[2:]
    assert all(world.wu(job).canonical_resultid for job in (1, 2, 3))


def test_a_late_result_is_valid_while_there_are_files_to_compare_with(world):
    world.configure(delete_delay_hours=48)
    job = world.job(delay_bound=DAY, max_total_results=3)
    slow, quick = world.host(), world.host()
    [late] = slow.fetch()
    world.advance(DAY + 2)
    quick.report(quick.fetch()[0])
    slow.report(late)
    first, second = world.results(job)
    assert (first.validate_state, second.validate_state) == (ValidateState.VALID, ValidateState.VALID)
    assert first.granted_credit == second.granted_credit > 0
    assert world.wu(job).canonical_resultid == second.id
