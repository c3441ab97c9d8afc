"""When two runs of a scenario went the same way."""

from harness.history import Event
from harness.scenario.orders import differences, orders
from harness.scenario.replay import Repetition


def event(kind: str, source: str, **data: object) -> Event:
    return Event(kind, 0.0, 0.0, source, data)


def run(name: str, *server: str, random: int = 7) -> list[Event]:
    return [
        event("scenario.submitted", "scenario", workunit=3, name=name),
        event("result.sent", "server", workunit=3, result=9),
        event("client.message", "host1", text=f"Started upload of {name}_0_r{random}_0"),
        *(event(kind, "server", workunit=3) for kind in server),
        event("client.message", "host1", text="Scheduler request completed"),
        event("rpc.scheduler", "server"),
    ]


def test_names_and_random_numbers_make_no_difference() -> None:
    assert orders(run("uppercase_1", "job.validated")) == orders(run("uppercase_2", "job.validated", random=8))
    assert orders(run("uppercase_1"))["job 1 on host1"] == ("Started upload of job 1_0#0",)


def test_another_order_is_told_with_the_runs_that_had_it() -> None:
    usual, other = run("a", "upload.done", "result.reported"), run("b", "result.reported", "upload.done")

    [difference] = differences([orders(one) for one in (usual, other, usual)])

    assert difference.lane == "job 1"
    assert [runs for _, runs in difference.variants] == [[1, 3], [2]]
    assert "runs 2, from the 2. on: result.reported -> upload.done" in str(difference)


def test_a_job_has_the_name_that_the_scenario_gives_it() -> None:
    events = run("a", "upload.done")
    events.insert(1, event("scenario.job", "scenario", workunit=3, name="a", job="pair"))
    assert set(orders(events)) == {"pair", "pair on host1"}


def test_what_is_declared_a_race_is_told_apart() -> None:
    named = event("scenario.job", "scenario", workunit=3, name="a", job="pair")
    usual, other = (orders([named, *run("a", *order)]) for order in (("upload.done", "job.validated"), ("job.validated", "upload.done")))

    declared = Repetition([None, None], [usual, other], {"pair": "it depends"})
    assert [race.lane for race in declared.declared] == ["pair"]
    assert declared.is_steady
    assert not Repetition([None, None], [usual, other], {"another": "it depends"}).is_steady


def test_lanes_may_fall_between_each_other() -> None:
    events = run("a", "upload.done")
    mixed = [events[0], events[2], events[1], *events[3:]]
    assert not differences([orders(events), orders(mixed)])


def test_the_server_may_tell_of_a_job_before_its_submission_is_noted() -> None:
    events = run("a")
    assert not differences([orders(events), orders([events[1], events[0], *events[2:]])])


def test_a_lane_that_is_missing_is_a_difference() -> None:
    events = run("a")
    assert [one.lane for one in differences([orders(events), orders(events[:2])])] == ["job 1 on host1"]


def test_a_run_that_saw_enough_earlier_went_the_same_way() -> None:
    short, long, other = run("a", "upload.done"), run("a", "upload.done", "result.reported"), run("a", "upload.done", "job.failed")
    assert not differences([orders(short), orders(long)])
    [difference] = differences([orders(one) for one in (short, long, other)])
    assert [runs for _, runs in difference.variants] == [[1, 2], [3]]
