"""Options of config.xml and of jobs that decide what happens to a job afterwards: credit, files, further results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from boinc_server import models, simulate, storage, templates, work
from boinc_server.credit import low_average
from sqlalchemy import select

from .conftest import World

COBBLESTONE = 200 / 86400e9
"""Credit for one floating-point operation."""


def done(world: World, *runtimes: float, **options: Any) -> list[Any]:
    """The results of one job that as many hosts did as there are run times."""
    world.add_job(min_quorum=len(runtimes), target_nresults=len(runtimes), **options)
    for number, seconds in enumerate(runtimes):
        host = world.new_host(name=f"box-{number}", ip_addr=f"10.7.0.{number}", fpops=4e9)
        (task,) = world.rpc(1.0, host=host).tasks
        finished = world.compute(task)
        finished.cpu_time = finished.elapsed_time = seconds
        world.set(models.result, sent_time=world.row(models.result).sent_time - 10_000)
        world.rpc(finished=[finished], host=host)
    return world.transaction(lambda tx: tx.all(select(models.result).order_by(models.result.c.id)))


CREDIT: list[tuple[str, dict[str, Any], dict[str, Any], tuple[float, ...], float]] = [
    # id, configuration, job, run times, credit
    ("by the estimate", {}, {"rsc_fpops_est": 1e12}, (100.0,), 1e12 * COBBLESTONE),
    ("by the estimate, twice", {}, {"rsc_fpops_est": 1e12}, (100.0, 300.0), 1e12 * COBBLESTONE),
    ("by the job", {"credit": "from_wu"}, {"credit": 12.5}, (100.0,), 12.5),
    ("by the job, which has none", {"credit": "from_wu"}, {}, (100.0,), 0.0),
    ("by run time", {"credit": "from_runtime"}, {}, (100.0,), 4e11 * COBBLESTONE),
    ("by run time, two of them", {"credit": "from_runtime"}, {}, (100.0, 300.0), 6e11 * COBBLESTONE),
    (
        "by run time, beyond the bound",
        {"credit": "from_runtime"},
        {"rsc_fpops_bound": 1e11, "rsc_fpops_est": 1e10},
        (100.0,),
        1e11 * COBBLESTONE,
    ),
    (
        "by run time, near the bound",
        {"credit": "from_runtime"},
        {"rsc_fpops_bound": 3e11, "rsc_fpops_est": 1e10},
        (100.0,),
        4e11 * COBBLESTONE,
    ),
    ("by run time, out of range", {"credit": "from_runtime", "max_granted_credit": 1e-5}, {}, (100.0,), 0.0),
    ("none", {"credit": "none"}, {"credit": 12.5}, (100.0,), 0.0),
    ("at most", {"credit": "from_wu", "max_granted_credit": 3}, {"credit": 12.5}, (100.0,), 3.0),
]


@pytest.mark.parametrize(("name", "config", "job", "runtimes", "credit"), CREDIT, ids=[row[0] for row in CREDIT])
def test_credit(world: World, name: str, config: dict[str, Any], job: dict[str, Any], runtimes: tuple[float, ...], credit: float) -> None:
    world.configure(**config)
    results = done(world, *runtimes, **job)
    assert [result.validate_state for result in results] == [1] * len(runtimes)
    assert [result.granted_credit for result in results] == pytest.approx([credit] * len(runtimes), rel=1e-6), name
    assert world.row(models.user).total_credit == pytest.approx(credit * len(runtimes), rel=1e-6)


def test_large_claims_gain_little() -> None:
    assert low_average([]) == 0
    assert low_average([7.0]) == 7.0
    assert low_average([100.0, 300.0]) == pytest.approx(150.0)
    assert low_average([10.0, 10.0, 1e9]) < 20.1
    for values in itertools.permutations([3.0, 8.0, 20.0]):
        assert low_average(list(values)) == pytest.approx((3 * 28 + 8 * 23 + 20 * 11) / (2 * 31))


def protected_inputs(world: World) -> dict[str, Any]:
    text = "<file_info>\n<no_delete/>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
    world.project.path("templates", "uppercase_in").write_text(text)
    return {}


FILES: list[tuple[str, dict[str, Any], Callable[[World], dict[str, Any]], bool]] = [
    # id, configuration, what prepares the job, whether its input is still there afterwards
    ("deleted", {}, lambda _: {}, False),
    ("no_delete", {}, protected_inputs, True),
    ("delete_delay_hours", {"delete_delay_hours": 1}, lambda _: {}, True),
    ("dont_delete_files", {"dont_delete_files": True}, lambda _: {}, True),
]


@pytest.mark.parametrize(("name", "config", "prepare", "stays"), FILES, ids=[row[0] for row in FILES])
def test_input_files_afterwards(
    world: World, name: str, config: dict[str, Any], prepare: Callable[[World], dict[str, Any]], stays: bool
) -> None:
    world.configure(**config)
    done(world, 10.0, **prepare(world))
    assert storage.download_path(world.project, work.inline_name(b"hello")).exists() == stays, name


def test_files_of_a_job_called_nodelete_stay(world: World) -> None:
    def create() -> None:
        name = work.inline_name(b"hello")
        work.stage_file(world.project, name, b"hello")
        with world.project.transaction() as tx:
            work.create_work(tx, "uppercase", [templates.InputFile(name)], work.WorkOptions(), "my_nodelete_job")

    world.call(create)
    (task,) = world.rpc(1.0).tasks
    world.rpc(finished=[world.compute(task)])
    assert world.row(models.workunit).assimilate_state == 2
    assert storage.download_path(world.project, work.inline_name(b"hello")).exists()


@pytest.mark.parametrize(("flags", "results"), [(0, 2), (2, 1)])
def test_no_new_results_for_a_job_that_wants_none(world: World, flags: int, results: int) -> None:
    world.add_job(max_error_results=3, max_total_results=3)
    world.set(models.workunit, transitioner_flags=flags)
    (task,) = world.rpc(1.0).tasks
    world.rpc(finished=[simulate.Finished(task.name, state=3, exit_status=1)])
    assert len(world.transaction(lambda tx: tx.all(select(models.result.c.id)))) == results


def test_the_key_is_not_sent_where_that_is_wanted(world: World) -> None:
    world.configure(dont_send_code_sign_key=True)
    assert "<code_sign_key>" not in world.rpc(1.0).text


@pytest.mark.parametrize(("fanout", "depth"), [(0, 0), (16, 1), (1024, 1)])
def test_the_fan_out_of_files(world: World, fanout: int, depth: int) -> None:
    world.configure(uldl_dir_fanout=fanout)
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    inside = task.inputs[0].urls[0].removeprefix(f"{world.url}download/").split("/")
    assert len(inside) == depth + 1
    assert all(int(part, 16) < fanout for part in inside[:-1])
    assert world.http.get(task.inputs[0].urls[0]).content == b"hello"
    world.compute(task)


@pytest.mark.parametrize("option", ["report_max", "max_results_accepted"])
def test_only_so_many_reports_are_taken(world: World, option: str) -> None:
    for number in range(3):
        world.add_job(str(number).encode())
    finished = [world.compute(task) for task in world.rpc(1e6).tasks]
    assert len(finished) == 3
    world.configure(**{option: 2})
    first = world.rpc(finished=finished).acks
    assert len(first) == 2
    assert len(world.rpc(finished=[result for result in finished if result.name not in first]).acks) == 1


def test_a_deadline_that_does_not_count(world: World) -> None:
    world.host.delay = 1e6
    world.add_job(delay_bound=3600)
    assert not world.rpc(1.0).tasks
    world.configure(ignore_delay_bound=True)
    assert world.rpc(1.0).tasks


@pytest.mark.parametrize(("allowed", "tasks"), [("0", 0), ("1", 1)])
def test_applications_in_test_are_for_those_who_want_them(world: World, allowed: str, tasks: int) -> None:
    world.set(models.app, beta=1)
    world.call(world.project.catalog.invalidate)
    preferences = f"<project_preferences>\n<allow_beta_work>{allowed}</allow_beta_work>\n</project_preferences>\n"
    world.set(models.user, project_prefs=preferences)
    world.add_job()
    assert len(world.rpc(1.0).tasks) == tasks
