"""What an upstream project does with its files, tools and tables; the containers are fakes."""

from collections.abc import Iterator

import pytest

from harness import containers
from harness.capabilities import Capability, Unsupported
from harness.clock import Clock
from harness.history import History
from harness.project.upstream.project import UpstreamProject

from .fake_trio import ROOT, FakeTrio, read_file, write_file

SAMPLES = {"uppercase": {"apps/uppercase/1.0/x86_64-pc-linux-gnu/up": b"ELF", "templates/uppercase_in": b"<i/>"}}


@pytest.fixture
def trio(monkeypatch: pytest.MonkeyPatch) -> FakeTrio:
    monkeypatch.setattr(containers, "read_file", read_file)
    monkeypatch.setattr(containers, "write_file", write_file)
    return FakeTrio()


def made(trio: FakeTrio, **config: object) -> UpstreamProject:
    history = History(Clock.real())
    return UpstreamProject(
        trio,  # type: ignore[arg-type]
        history,
        server="upstream",
        url_base="http://boinc.test/",
        config=config,
        samples=lambda: SAMPLES,
    )


@pytest.fixture
def project(trio: FakeTrio) -> Iterator[UpstreamProject]:
    project = made(trio)
    yield project
    project.delete()


def test_it_has_the_same_url_as_on_the_embedded_server(project: UpstreamProject) -> None:
    assert project.master_url == "http://boinc.test/p_1/"


def test_options_are_in_place_before_its_daemons_start(trio: FakeTrio) -> None:
    project = made(trio, one_result_per_host_per_wu=1, stop_sched=True)
    config = trio.text("config.xml")
    assert "<one_result_per_host_per_wu>1<" in config
    assert "<next_rpc_delay>2<" in config
    assert "stop_sched" not in config
    assert "touch stop_sched" in trio.scripts, "it is a file, upstream"
    assert "--sleep_interval 1" in config
    assert any("TRIGGER" in statement for statement in trio.database.statements)
    assert trio.log[:2] == ["start http://boinc.test/", "run"]
    project.delete()
    assert trio.log[2:] == ["leave", "close"]


def test_an_option_of_the_embedded_server_is_refused_before_anything_starts(trio: FakeTrio) -> None:
    with pytest.raises(Unsupported, match="credit"):
        made(trio, credit="none")
    assert trio.log == []


def test_a_server_that_does_not_come_up_is_removed(trio: FakeTrio) -> None:
    trio.fails_at_run = True
    with pytest.raises(RuntimeError):
        made(trio)
    assert trio.log[-1] == "close"


def test_a_sample_application_is_installed_on_first_use_with_the_projects_tools(trio: FakeTrio, project: UpstreamProject) -> None:
    job = project.submit("uppercase", input=b"hello", min_quorum=2)
    assert trio.apache.files[f"{ROOT}/apps/uppercase/1.0/x86_64-pc-linux-gnu/up"] == b"ELF"
    assert trio.apache.modes[f"{ROOT}/apps/uppercase/1.0/x86_64-pc-linux-gnu/up"] & 0o111
    assert "<app><name>uppercase</name>" in trio.text("project.xml")
    assert trio.text("config.xml").count("--app uppercase ") == 2
    order = [
        next(number for number, text in enumerate(trio.scripts) if part in text) for part in ("xadd", "update_versions", "create_work")
    ]
    assert order == sorted(order)
    [staged] = [path for path in trio.apache.files if "harness_staging/" in path]
    assert trio.apache.files[staged] == b"hello"
    assert "--min_quorum 2" in trio.scripts[-1]
    assert project.history.find("scenario.submitted", name=job.name, workunit=1)

    before = len(trio.scripts)
    project.submit("uppercase", input=b"again")
    assert len(trio.scripts) == before + 1, "once is enough"


def test_many_jobs_are_made_by_one_command(trio: FakeTrio, project: UpstreamProject) -> None:
    project.install_app("uppercase")
    before = len(trio.scripts)
    jobs = project.submit_many("uppercase", [b"a", b"b", b"c"], delay_bound=60)
    assert [job.id for job in jobs] == [1, 2, 3]
    assert len(trio.scripts) == before + 1


def test_a_template_given_as_text_becomes_a_file(trio: FakeTrio, project: UpstreamProject) -> None:
    project.submit("uppercase", input_template="<input_template/>")
    [path] = [path for path in trio.apache.files if "templates/inline_" in path]
    assert f"--wu_template {path.removeprefix(ROOT + '/')}" in trio.scripts[-1]


@pytest.mark.parametrize("options", [{"opaque": 1}, {"additional_xml": "<a/>"}])
def test_what_create_work_does_not_take_is_refused(project: UpstreamProject, options: dict[str, object]) -> None:
    with pytest.raises(Unsupported) as refused:
        project.submit("uppercase", **options)  # type: ignore[arg-type]
    assert refused.value.capability is Capability.OPTIONS


def test_maintenance_ends_again(trio: FakeTrio, project: UpstreamProject) -> None:
    project.configure(stop_upload=True)
    project.configure(stop_upload=False)
    assert trio.scripts[-2:] == ["touch stop_upload", "rm -f stop_upload"]


def test_files_go_below_apps_and_templates_only(project: UpstreamProject) -> None:
    for path in ("keys/code_sign_private", "apps/../keys/x", ""):
        with pytest.raises(Unsupported):
            project.put_file(path, b"x")


def test_a_platform_is_deprecated_in_the_database_and_the_feeder_told(trio: FakeTrio, project: UpstreamProject) -> None:
    project.deprecate_platform("x86_64-pc-linux-gnu")
    assert any(statement.startswith("UPDATE platform SET deprecated = 1") for statement in trio.database.statements)
    assert trio.scripts[-1] == "touch reread_db"


def test_the_key_cannot_be_changed(project: UpstreamProject) -> None:
    with pytest.raises(Unsupported) as refused:
        project.change_code_sign_key()
    assert refused.value.capability is Capability.KEY_CHANGE
