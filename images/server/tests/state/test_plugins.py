"""Validators and assimilators of a project's own: scripts, Python files, registered callables."""

from __future__ import annotations

import asyncio

import pytest
from boinc_server import assimilator, generators, outputs
from boinc_server.states import AssimilateState, Outcome, ValidateState


def script(world, name, text):
    path = world.project.path("bin", name)
    path.write_text(text)
    path.chmod(0o755)


def run_two(world, first=b"a", second=b"A", **options):
    job = world.job(min_quorum=2, target_nresults=2, max_total_results=4, max_success_results=4, max_error_results=3, **options)
    for content in (first, second):
        host = world.host()
        name = host.fetch()[0]
        world.advance(10)  # no task has run longer than since it was sent
        host.report(name, content)
    return job


def test_script_validator(world):
    script(world, "compare.sh", '#!/bin/sh\n[ "$(tr a-z A-Z <"$1")" = "$(tr a-z A-Z <"$2")" ]\n')
    script(world, "init.sh", '#!/bin/sh\n! grep -q bad "$1"\n')
    world.configure(script_validators={"work": {"init_script": "init.sh files result_id", "compare_script": "compare.sh files files2"}})
    job = run_two(world)
    assert [r.validate_state for r in world.results(job)] == [ValidateState.VALID] * 2
    other = run_two(world, b"good", b"bad")
    assert world.results(other)[1].outcome == Outcome.VALIDATE_ERROR


def test_scripts_get_keywords_only(world):
    script(world, "init.sh", '#!/bin/sh\necho "$@" >"$HOME/seen"\n')
    world.configure(script_validators={"work": {"init_script": "init.sh result_id runtime nonsense"}})
    run_two(world)
    assert world.project.path("seen").read_text() == "2 2.000000\n"


def test_a_script_that_cannot_say_now(world):
    script(world, "init.sh", '#!/bin/sh\n[ -e "$HOME/ready" ] || exit 3\n')
    world.configure(script_validators={"work": {"init_script": "init.sh"}})
    job = run_two(world)
    assert world.wu(job).canonical_resultid == 0
    assert [r.validate_state for r in world.results(job)][:2] == [ValidateState.INCONCLUSIVE] * 2
    world.project.path("ready").touch()
    host = world.host()
    host.report(host.fetch()[0], b"a")
    assert world.wu(job).canonical_resultid


def test_a_missing_script_is_told_and_tried_again(world):
    world.configure(script_validators={"work": {"init_script": "gone.sh"}})
    job = run_two(world)
    assert world.wu(job).canonical_resultid == 0
    [event] = world.events("job.stuck")
    assert "gone.sh" in event["why"]
    script(world, "gone.sh", "#!/bin/sh\n")
    world.advance(120)
    assert world.wu(job).canonical_resultid


def test_script_assimilator(world):
    script(world, "take.sh", '#!/bin/sh\necho "$@" >>"$HOME/taken"\n')
    world.configure(assimilators={"work": "script:take.sh wu_name files2"})
    world.job(name="one")
    host = world.host()
    host.report(host.fetch()[0])
    world.job(name="two", max_error_results=1)
    host.fail(host.fetch()[0])
    taken = world.project.path("taken").read_text().splitlines()
    assert taken[0].startswith("one /")
    assert taken[0].endswith(" out")
    assert taken[1:] == ["--error 8 two 2 0"]
    assert len(world.events("job.assimilated")) == 2


def test_an_assimilator_that_fails_is_called_again(world):
    script(world, "take.sh", '#!/bin/sh\necho x >>"$HOME/calls"\n[ -e "$HOME/ready" ]\n')
    world.configure(assimilators={"work": "script:take.sh"})
    job = world.job()
    host = world.host()
    host.report(host.fetch()[0])
    assert world.wu(job).assimilate_state == AssimilateState.READY
    assert world.wu(job).canonical_resultid
    world.project.path("ready").touch()
    world.advance(120)
    assert world.wu(job).assimilate_state == AssimilateState.DONE
    assert world.project.path("calls").read_text() == "x\nx\n"


def test_python_files_of_the_project(world):
    world.project.path("bin", "mine.py").write_text(
        "class Lengths:\n"
        "    def init_result(self, result, files):\n        return files[0].path.stat().st_size\n"
        "    def compare(self, first, second):\n        return first == second\n"
        "def keep(project, job, files):\n    (project.root / 'kept').write_bytes(files[0].path.read_bytes())\n"
    )
    world.configure(validators={"work": "python:mine.py:Lengths"}, assimilators={"work": "python:mine.py:keep"})
    job = run_two(world, b"xx", b"yy")
    assert world.wu(job).canonical_resultid
    assert world.project.path("kept").read_bytes() == b"xx"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"validators": {"work": "python:no.py:X"}}, "no Python file"),
        ({"validators": {"work": "python:../x.py:X"}}, "is not FILE.py:NAME"),
        ({"validators": {"work": "unheard_of"}}, "there is no validator"),
        ({"assimilators": {"work": "unheard_of"}}, "there is no assimilator"),
        ({"assimilators": {"work": "script:../../bin/true"}}, "no name of a script"),
    ],
)
def test_a_wrong_plugin_is_told(world, options, why):
    world.configure(**options)
    job = run_two(world, b"a", b"a")
    assert bool(world.wu(job).canonical_resultid) == ("assimilators" in options), "validation does not wait for assimilation"
    assert why in world.events("job.stuck")[0]["why"]


def test_a_registered_assimilator_can_put_a_job_off(world):
    seen = []

    def handler(project, job, files):
        seen.append((job.wu.id, len(job.results)))
        if len(seen) == 1:
            raise assimilator.Deferred

    assimilator.register("later", handler)
    world.configure(assimilators={"work": "later"})
    job = world.job(min_quorum=1, target_nresults=2)
    one, two = world.host(), world.host()
    [a], [b] = one.fetch(), two.fetch()
    one.report(a)
    assert world.wu(job).assimilate_state == AssimilateState.INIT
    two.report(b)
    assert world.wu(job).assimilate_state == AssimilateState.DONE
    assert len(seen) == 2


def test_scripts_run_off_the_loop(world):
    """While a script sleeps the server goes on."""
    script(world, "init.sh", "#!/bin/sh\nsleep 0.3\n")
    world.configure(script_validators={"work": {"init_script": "init.sh"}})
    job = world.job()
    host = world.host()
    [name] = host.fetch()

    async def main():
        host.report(name)
        assert world.wu(job).canonical_resultid == 0
        for _ in range(100):
            await asyncio.sleep(0.02)
            if world.wu(job).canonical_resultid:
                return True
        return False

    assert asyncio.run(main())
    assert len(world.events("job.assimilated")) == 1


def test_large_outputs_are_read_in_a_thread(world, monkeypatch):
    monkeypatch.setattr(outputs, "LARGE", 3)
    job = run_two(world, b"large", b"large")
    assert [r.validate_state for r in world.results(job)] == [ValidateState.VALID] * 2


def test_a_script_makes_work_when_little_is_left(world):
    script(
        world,
        "gen.sh",
        "#!/bin/sh\nn=$1\nmkdir -p $HOME/seq\nwhile [ $n -gt 0 ]; do\n"
        "i=$(ls $HOME/seq | wc -l)\necho --wu_name g$i --priority 4 --command_line \"'-x 1'\"\n"
        "touch $HOME/seq/$i\nn=$((n-1))\ndone\n",
    )
    world.configure(work_generators={"work": {"source": "script:gen.sh", "cushion": 2}})
    host = world.host()
    names = [host.fetch()[0] for _ in range(4)]
    assert names == ["g0_0", "g1_0", "g2_0", "g3_0"]
    assert world.wu(1).priority == 4
    assert "-x 1" in world.wu(1).xml_doc


def test_a_python_function_makes_work(world):
    world.project.path("bin", "gen.py").write_text("def make(count):\n    return [{'options': {'min_quorum': 1}} for _ in range(count)]\n")
    world.configure(work_generators={"work": {"source": "python:gen.py:make", "cushion": 3}})
    assert len(world.host().fetch(1e6)) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def make(count):\n    return [{'colour': 1}]\n", "Extra inputs"),
        ("def make(count):\n    raise OSError('none left')\n", "none left"),
    ],
)
def test_a_generator_that_fails_is_told(world, text, why):
    world.project.path("bin", "gen.py").write_text(text)
    world.configure(work_generators={"work": {"source": "python:gen.py:make", "cushion": 3}})
    assert why in world.events("generator.failed")[0]["why"]


@pytest.mark.parametrize("line", ["--wu_name", "--colour red", "--min_quorum x", "--remote_file u 1"])
def test_wrong_lines_of_a_generator(line):
    with pytest.raises(ValueError, match=r"."):
        generators.parse_line(line)
