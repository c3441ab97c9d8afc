"""Replication, quorum, errors, limits on the number of results: transitioner and validator together."""

from __future__ import annotations

import pytest
from boinc_server import models, validator, work
from boinc_server.simulate import Finished
from boinc_server.states import AssimilateState, ErrorMask, FileDeleteState, Outcome, ServerState, ValidateState

DAY = 86400


def states(world, workunit):
    return [(ServerState(r.server_state), Outcome(r.outcome), ValidateState(r.validate_state)) for r in world.results(workunit)]


def test_one_job_of_one_result_goes_all_the_way(world):
    job = world.job()
    host = world.host()
    [name] = host.fetch()
    host.report(name)
    wu = world.wu(job)
    [result] = world.results(job)
    assert wu.canonical_resultid == result.id
    assert (wu.assimilate_state, wu.file_delete_state, wu.error_mask) == (AssimilateState.DONE, FileDeleteState.DONE, 0)
    assert (result.outcome, result.validate_state, result.file_delete_state) == (1, ValidateState.VALID, FileDeleteState.DONE)
    assert result.granted_credit == pytest.approx(wu.canonical_credit) != 0
    kinds = [e["kind"] for e in world.events() if e["kind"].split(".")[0] in ("job", "result")]
    assert kinds == [
        "job.created",
        "result.created",
        "result.sent",
        "result.reported",
        "result.valid",
        "job.validated",
        "job.assimilated",
        "job.files_deleted",
    ]


def test_quorum_of_two_waits_for_the_second_result(world):
    job = world.job(min_quorum=2, target_nresults=2)
    one, two = world.host(), world.host()
    [first], [second] = one.fetch(), two.fetch()
    one.report(first)
    assert world.wu(job).canonical_resultid == 0
    assert states(world, job)[0] == (ServerState.OVER, Outcome.SUCCESS, ValidateState.INIT)
    two.report(second)
    assert world.wu(job).canonical_resultid != 0
    assert [s[2] for s in states(world, job)] == [ValidateState.VALID] * 2


def test_results_that_differ_are_inconclusive_and_a_third_decides(world):
    job = world.job(min_quorum=2, target_nresults=2, max_total_results=5, max_success_results=5)
    hosts = [world.host() for _ in range(3)]
    names = [hosts[0].fetch()[0], hosts[1].fetch()[0]]
    hosts[0].report(names[0], b"right")
    hosts[1].report(names[1], b"wrong")
    assert [s[2] for s in states(world, job)] == [ValidateState.INCONCLUSIVE, ValidateState.INCONCLUSIVE, ValidateState.INIT]
    assert world.wu(job).target_nresults == 3
    [third] = hosts[2].fetch()
    assert third.endswith("_2")
    hosts[2].report(third, b"right")
    assert [s[2] for s in states(world, job)] == [ValidateState.VALID, ValidateState.INVALID, ValidateState.VALID]
    right, wrong, third_row = world.results(job)
    assert wrong.granted_credit == 0
    assert right.granted_credit == third_row.granted_credit > 0


def test_a_strict_majority_of_the_quorum_is_enough(world):
    """min_quorum 3 needs 2 that agree (floor(3/2) + 1)."""
    job = world.job(min_quorum=3, target_nresults=3)
    hosts = [world.host() for _ in range(3)]
    names = [host.fetch()[0] for host in hosts]
    for host, name, content in zip(hosts, names, (b"a", b"b", b"a"), strict=True):
        host.report(name, content)
    assert world.wu(job).canonical_resultid == world.results(job)[0].id
    assert [s[2] for s in states(world, job)] == [ValidateState.VALID, ValidateState.INVALID, ValidateState.VALID]


def test_a_failed_result_is_given_to_another_host(world):
    job = world.job(max_error_results=2, max_total_results=4)
    one, two = world.host(), world.host()
    [name] = one.fetch()
    one.fail(name)
    assert states(world, job)[0] == (ServerState.OVER, Outcome.CLIENT_ERROR, ValidateState.INVALID)
    [again] = two.fetch()
    two.report(again)
    assert world.wu(job).canonical_resultid == world.results(job)[1].id


def test_a_retry_can_go_out_in_the_same_rpc(world):
    world.job(max_error_results=2, max_total_results=4)
    host = world.host()
    [name] = host.fetch()
    reply = host.rpc(1.0, [Finished(name, state=3, exit_status=1)])
    assert [task.name for task in reply.tasks] == [name[:-1] + "1"]


def test_more_than_max_error_results_ends_the_job(world):
    """nerrors > max_error_results, not >=."""
    job = world.job(max_error_results=1, max_total_results=10, max_success_results=1)
    host = world.host()
    host.fail(host.fetch()[0])
    assert world.wu(job).error_mask == 0
    host.fail(host.fetch()[0])
    wu = world.wu(job)
    assert wu.error_mask == ErrorMask.TOO_MANY_ERROR_RESULTS
    assert wu.assimilate_state == AssimilateState.DONE
    [event] = world.events("job.error")
    assert (event["workunit"], event["error_mask"]) == (job, 2)


def test_max_total_results_ends_the_job(world):
    job = world.job(max_error_results=1, max_total_results=1)
    host = world.host()
    host.fail(host.fetch()[0])
    assert world.wu(job).error_mask == ErrorMask.TOO_MANY_TOTAL_RESULTS
    assert len(world.results(job)) == 1


def test_max_success_results_ends_the_job(world):
    job = world.job(min_quorum=2, target_nresults=2, max_success_results=2, max_total_results=10, max_error_results=1)
    hosts = [world.host() for _ in range(3)]
    for index, host in enumerate(hosts):
        host.report(host.fetch()[0], str(index).encode())
    assert world.wu(job).error_mask == ErrorMask.TOO_MANY_SUCCESS_RESULTS
    assert {s[2] for s in states(world, job)} == {ValidateState.NO_CHECK}


def test_an_abort_by_the_volunteer_is_no_error_of_the_job(world):
    job = world.job(max_error_results=1, max_total_results=10)
    for _ in range(3):
        host = world.host()
        host.fail(host.fetch()[0], exit_status=203)
    assert world.wu(job).error_mask == 0
    assert states(world, job)[3][0] == ServerState.UNSENT


def test_unsent_results_are_not_needed_once_there_is_a_canonical_one(world):
    job = world.job(min_quorum=1, target_nresults=3)
    host = world.host()
    host.report(host.fetch()[0])
    assert [s[1] for s in states(world, job)] == [Outcome.SUCCESS, Outcome.DIDNT_NEED, Outcome.DIDNT_NEED]
    assert host.fetch() == []


def test_a_straggler_is_compared_with_the_canonical_result(world):
    world.job(min_quorum=1, target_nresults=3)
    hosts = [world.host() for _ in range(3)]
    names = [host.fetch()[0] for host in hosts]
    hosts[0].report(names[0], b"right")
    hosts[1].report(names[1], b"right")
    hosts[2].report(names[2], b"wrong")
    rows = world.results(1)
    assert [r.validate_state for r in rows] == [ValidateState.VALID, ValidateState.VALID, ValidateState.INVALID]
    assert rows[1].granted_credit == rows[0].granted_credit > 0
    assert world.wu(1).canonical_resultid == rows[0].id
    assert len(world.events("job.assimilated")) == 1


def test_the_canonical_outputs_stay_until_all_results_are_over(world):
    world.job(min_quorum=1, target_nresults=2)
    one, two = world.host(), world.host()
    [first], [second] = one.fetch(), two.fetch()
    one.report(first)
    assert world.wu(1).file_delete_state == FileDeleteState.INIT
    assert world.results(1)[0].file_delete_state == FileDeleteState.INIT
    two.report(second)
    assert world.wu(1).file_delete_state == FileDeleteState.DONE
    assert [r.file_delete_state for r in world.results(1)] == [FileDeleteState.DONE] * 2


def test_a_missing_output_is_a_validate_error(world):
    job = world.job(max_error_results=1, max_total_results=3, max_success_results=3)
    host = world.host()
    [name] = host.fetch()
    host.rpc(finished=[Finished(name)])
    assert states(world, job)[0] == (ServerState.OVER, Outcome.VALIDATE_ERROR, ValidateState.INVALID)
    assert states(world, job)[1][0] == ServerState.UNSENT


def test_any_result_validator_accepts_whatever_comes(world):
    world.configure(validator="trivial")
    job = world.job(min_quorum=2, target_nresults=2)
    for content in (b"a", b"b"):
        host = world.host()
        host.report(host.fetch()[0], content)
    assert {s[2] for s in states(world, job)} == {ValidateState.VALID}


def test_delete_delay_keeps_files(world):
    world.configure(delete_delay_hours=1)
    job = world.job()
    host = world.host()
    host.report(host.fetch()[0])
    assert world.wu(job).file_delete_state == FileDeleteState.INIT
    world.advance(3602)
    assert world.wu(job).file_delete_state == FileDeleteState.DONE


def test_cancelling_takes_back_what_is_unsent_and_aborts_what_runs(world):
    job = world.job(min_quorum=1, target_nresults=2)
    host = world.host()
    [name] = host.fetch()
    with world.project.transaction() as tx:
        work.cancel(tx, job)
    # There is no room for the result that takes the unsent one's place, as upstream's transitioner notes too.
    assert world.wu(job).error_mask == ErrorMask.CANCELLED | ErrorMask.TOO_MANY_TOTAL_RESULTS
    assert states(world, job)[1][1] == Outcome.DIDNT_NEED
    reply = host.rpc()
    assert reply.aborts == [name]
    assert world.events("job.cancelled")


def test_a_result_reported_twice_counts_once(world):
    job = world.job()
    host = world.host()
    [name] = host.fetch()
    finished = host.done(name)
    host.rpc(finished=[finished])
    credit = world.results(job)[0].granted_credit
    reply = host.rpc(finished=[finished])
    assert reply.acks == [name]
    assert len(world.events("result.reported")) == 1
    assert world.rows(models.host)[0].total_credit == pytest.approx(credit)


def test_others_cannot_report_for_a_host(world):
    job = world.job()
    owner, thief = world.host(), world.host()
    [name] = owner.fetch()
    thief.tasks = owner.tasks
    assert thief.report(name).acks == [name]
    assert states(world, job)[0][0] == ServerState.IN_PROGRESS


def test_another_host_of_the_same_user_may_report(world):
    job = world.job()
    user = world.user()
    one, two = world.host(user=user), world.host(user=user)
    [name] = one.fetch()
    two.rpc()
    two.tasks = one.tasks
    two.report(name)
    assert states(world, job)[0][1] == Outcome.SUCCESS


def test_an_unsent_result_cannot_be_reported(world):
    job = world.job()
    host = world.host()
    host.rpc()
    name = world.results(job)[0].name
    assert host.rpc(finished=[Finished(name)]).acks == [name]
    assert states(world, job)[0][0] == ServerState.UNSENT


@pytest.mark.parametrize("transient", [True, False])
def test_a_validator_of_ones_own(world, transient):
    class Picky:
        calls = 0

        def init_result(self, result, files):
            Picky.calls += 1
            if transient and Picky.calls == 1:
                raise validator.TransientValidateError("not now")
            return files[0].path.read_bytes()

        def compare(self, first, second):
            return first.lower() == second.lower()

    validator.register("picky", Picky())
    world.configure(validators={"work": "picky"})
    job = world.job(min_quorum=2, target_nresults=2, max_total_results=4, max_success_results=4)
    for content in (b"YES", b"yes"):
        host = world.host()
        host.report(host.fetch()[0], content)
    if transient:
        # As upstream: until the validator can say, they are inconclusive and one more is made.
        assert [s[2] for s in states(world, job)] == [ValidateState.INCONCLUSIVE, ValidateState.INCONCLUSIVE, ValidateState.INIT]
        host = world.host()
        host.report(host.fetch()[0], b"Yes")
    assert {s[2] for s in states(world, job)} == {ValidateState.VALID}
