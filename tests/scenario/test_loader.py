"""Scenario files: what is accepted, and what is said of what is not."""

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.scenario import Problem, ScenarioFileError, load
from harness.scenario.loader import loads
from harness.scenario.schema import render, schema

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scenarios" / "files").glob("*.scenario.yaml"))
HEAD = "scenario: a test of the loader\nclients: [{name: host1}]\njobs: [{name: job1, app: uppercase, input: hello}]\n"
TAIL = "expect: [{job: job1, reaches: validated}]\n"


def problems(content: str, folder: Path) -> list[str]:
    with pytest.raises(ScenarioFileError) as caught:
        loads(content, folder / "x.scenario.yaml")
    return [problem.render("x") for problem in caught.value.problems]


def mistakes(content: str) -> Sequence[Problem]:
    """None if it loads; any other way to end than being refused in words fails the test."""
    try:
        loads(content, Path("x.scenario.yaml"))
    except ScenarioFileError as error:
        return error.problems or [Problem(0, 0, "", "")]
    return []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_examples_load(file: Path) -> None:
    assert load(file).scenario.expect


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_examples_fit_the_published_schema(file: Path) -> None:
    jsonschema.validate(YAML(typ="safe", pure=True).load(file), schema())


def test_the_published_schema_is_current() -> None:
    published = (ROOT / "docs" / "scenario.schema.json").read_text(encoding="utf-8")
    assert published == render(), "run: .venv/bin/python -m harness.scenario.schema > docs/scenario.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("client: []\n", 'x:4:1: client: unknown field; did you mean "clients"?'),
        ("steps: [{submit: jb1}]\n", "x:4:10: steps[0].submit: no such job: 'jb1'; did you mean \"job1\"?"),
        ("steps: [{kill: host2}]\n", "x:4:10: steps[0].kill: no such part of the stack: 'host2'; did you mean \"host1\"?"),
        ("steps: [{at: 1s, after: a, kill: host1}]\n", "x:4:9: steps[0]: several triggers (at and after); expected one"),
        (
            "steps: [{after: first, kill: host1}]\n",
            "x:4:10: steps[0].after: no such step before this one: 'first'; there is: (there are none)",
        ),
        (
            "steps: [{on: result.snt, kill: host1}]\n",
            "x:4:10: steps[0].on: no such kind of event: 'result.snt'; did you mean \"result.sent\"?",
        ),
        ("steps: [{wait: -1}]\n", "x:4:10: steps[0].wait: an impossible duration: -1; expected 0 to 3650 days"),
        ("steps: [{wait: 99999d}]\n", "x:4:10: steps[0].wait: an impossible duration: '99999d'; expected 0 to 3650 days"),
        ("time: {rate: 1000}\n", "x:4:8: time.rate: input should be less than or equal to 60, got 1000"),
        ("invariants_off: {credit_sum: why}\n", "x:1:1: invariants_off: no such invariant: 'credit_sum'; did you mean \"credit_sums\"?"),
        ("races: {jb1: why}\n", "x:4:9: races.jb1: no such job: 'jb1'; did you mean \"job1\"?"),
        ("races: {scenario: ' '}\n", "x:1:1: races: scenario is left open without a reason"),
        ("scenario: again\n", "x:4:1: 'scenario' again; it stands in line 1 already"),
        ("about: *x\n", "x:4:8: an alias (*name); write the value out"),
        ("about: &x y\n", "x:4:8: an anchor (&name); write the value out where it is needed"),
        ("about: !!python/name:os.system x\n", "x:4:8: a tag (tag:yaml.org,2002:python/name:os.system); expected plain values"),
        ("about: [\n", None),
        ("? [a]\n: b\n", "x:4:3: a key that is no plain word"),
        ("faults: [{name: f}, {name: f}]\n", None),
        ("faults: [{htp: upload, status: 503}]\n", None),
        ("faults: [{http: upload}]\n", None),
        ("faults: [{http: upload, status: 503, reset: true}]\n", None),
        ("faults: [{damage: host1, path: ../etc/passwd}]\n", None),
        ("faults: [{fill_disk: host1}]\n", "x:4:11: faults[0].fill_disk: 'host1' has no disk of its own; give it `disk_mb: 64`"),
        (
            "faults: [{vbox_hangs: host1, words: startvm}]\n",
            "x:4:11: faults[0].vbox_hangs: 'host1' has no VirtualBox; give it `vbox: true`",
        ),
        (
            "time: real\nsteps: [{skip: 1h}]\n",
            "x:5:10: steps[0].skip: time that passes at once needs a virtual clock; leave `time: real` out",
        ),
        ("known_failure: {reason: x}\n", None),
        ("project: {apps: [{name: v, vm: {}, versions: [{version: '1', files: {a: b}}]}]}\n", None),
    ],
)
def test_mistakes_are_told_with_their_place(body: str, expected: str | None, tmp_path: Path) -> None:
    found = problems(HEAD + body + TAIL, tmp_path)
    assert found
    if expected is not None:
        assert expected in found


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    found = problems("scenario: two mistakes\nclients: [{name: h1, version: 8.2}]\nexpect: [{client: h1, sys: x}]\n", tmp_path)
    assert len(found) == 2
    assert "write the version in quotes" in found[0]
    assert 'did you mean "says"?' in found[1]


@pytest.mark.parametrize("content", ["", "# nothing\n", "just text", "- a\n- b\n", "scenario: x\n---\nscenario: y\n", "42"])
def test_what_is_no_scenario_at_all(content: str, tmp_path: Path) -> None:
    assert problems(content, tmp_path)


def test_a_binary_and_a_large_and_a_missing_file(tmp_path: Path) -> None:
    binary, large = tmp_path / "b.scenario.yaml", tmp_path / "l.scenario.yaml"
    binary.write_bytes(b"\x00\xff\x7fELF" * 100)
    large.write_bytes(b"a" * 10_000_000)
    for file, words in (
        (binary, "not UTF-8"),
        (large, "larger than"),
        (tmp_path / "m.scenario.yaml", "no such file"),
        (tmp_path, "not a file"),
    ):
        with pytest.raises(ScenarioFileError, match=words):
            load(file)


def test_a_deep_and_a_wide_document(tmp_path: Path) -> None:
    assert "levels deep" in problems("a: " + "[" * 5000 + "]" * 5000, tmp_path)[0]
    assert "more than" in problems("a: [" + "1," * 60_000 + "]", tmp_path)[0]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../secret", "link", "folder", "missing.txt", "..", ""])
def test_a_path_stays_in_the_folder_of_the_scenario(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (folder / "link").symlink_to(tmp_path / "secret")
    jobs = f'jobs: [{{name: j, app: uppercase, input: {{file: "{path}"}}}}]'
    content = f"scenario: reads a file\n{jobs}\nexpect: [{{job: j, reaches: validated}}]\n"
    [problem] = problems(content, folder)
    assert "jobs[0].input.file" in problem


def test_a_file_beside_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0\1")
    loaded = loads(
        "scenario: reads a file\njobs: [{name: j, app: uppercase, input: {file: data.bin}}]\nexpect: [{job: j, reaches: validated}]\n",
        tmp_path / "x.scenario.yaml",
    )
    [content] = loaded.scenario.jobs[0].input
    assert not isinstance(content, str)
    assert content.read(loaded.folder) == b"\0\1"


def test_the_environment_of_the_harness_is_out_of_reach(tmp_path: Path) -> None:
    [problem] = problems(
        "scenario: a variable\nclients: [{name: h, environment: {LD_PRELOAD: x}}]\nexpect: [{client: h, tasks: 0}]\n", tmp_path
    )
    assert "LD_PRELOAD" in problem


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet="abc:{}[]-,&*!|>'\"\n #?%@0.\t\\", max_size=200) | st.text(max_size=100))
def test_any_text_is_loaded_or_refused_in_words(text: str) -> None:
    assert all(problem.what for problem in mistakes(text))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc -.:", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "app", "input", "at", "on", "job", "kill", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    document=st.dictionaries(
        st.sampled_from(["scenario", "clients", "jobs", "steps", "expect", "project", "time", "faults", "invariants_off", "y"]),
        _values,
        max_size=6,
    )
)
def test_any_document_is_loaded_or_refused_in_words(document: object) -> None:
    assert all(problem.what and "kind:" not in problem.field for problem in mistakes(json.dumps(document)))
