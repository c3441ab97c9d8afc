"""What an upstream project does with its files, tools and tables; the containers are fakes."""

from collections.abc import Iterator

import pytest

from harness import containers
from harness.capabilities import Capability, Unsupported
from harness.clock import Clock
from harness.errors import UsageError
from harness.history import History
from harness.project.base import Account
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
    assert "FLUSH TABLES result" in trio.database.statements
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


def test_options_count_as_if_the_template_said_them(trio: FakeTrio, project: UpstreamProject) -> None:
    project.install_app("uppercase")
    trio.apache.files[f"{ROOT}/templates/uppercase_in"] = b"<min_quorum>1</min_quorum><priority>1</priority>"
    project.submit("uppercase", min_quorum=2, priority=3)
    [path] = [path for path in trio.apache.files if "templates/inline_" in path]
    assert trio.apache.files[path] == b"<priority>1</priority>"
    assert f"--wu_template {path.removeprefix(ROOT + '/')}" in trio.scripts[-1]
    assert "--min_quorum 2" in trio.scripts[-1]


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


def test_files_go_where_a_scenario_may_put_them_and_nowhere_else(trio: FakeTrio, project: UpstreamProject) -> None:
    for path in ("keys/code_sign_private", "apps/../keys/x", "", "config.xml"):
        with pytest.raises(Unsupported):
            project.put_file(path, b"x")
        with pytest.raises(Unsupported):
            project.get_file(path)
    project.put_file("plan_class_spec.xml", b"<plan_classes/>")
    assert project.get_file("plan_class_spec.xml") == trio.apache.files[f"{ROOT}/plan_class_spec.xml"] == b"<plan_classes/>"


def test_daemons_that_were_stopped_are_started_again(trio: FakeTrio, project: UpstreamProject) -> None:
    project.configure(stop_daemons=True)
    project.install_app("uppercase")
    assert not any("bin/start" in script for script in trio.scripts), "they stay stopped whatever else is done"
    del trio.scripts[3:]  # (id -u), the trigger, and the wait
    project.configure(stop_daemons=False)
    touched, ended, removed, started = trio.scripts[-4:]
    assert (touched, removed, started) == ("touch stop_daemons", "rm -f stop_daemons", "bin/start --cron")
    assert "tail --pid" in ended, "it waits until they have ended"


def test_no_scripts_of_cron_start_daemons_that_a_scenario_stopped(trio: FakeTrio, project: UpstreamProject) -> None:
    assert trio.text(f"{project.name}.cronjob") == ""


def test_outputs_are_kept_unless_a_scenario_wants_them_gone(trio: FakeTrio, project: UpstreamProject) -> None:
    project.install_app("uppercase")
    assert "--preserve_result_files" in trio.text("config.xml")
    project.configure(keep_outputs=False)
    assert "--preserve_result_files" not in trio.text("config.xml")
    assert "pid_*/file_deleter.pid" in trio.scripts[-1]
    assert "uppercase" not in trio.scripts[-1], "only what changed is started anew"
    project.configure(dont_delete_files=True)
    assert "--preserve_result_files --preserve_wu_files" in trio.text("config.xml")


def test_scripts_validate_and_assimilate_and_plug_ins_in_python_are_refused(trio: FakeTrio, project: UpstreamProject) -> None:
    project.configure(script_validators={"uppercase": {"init_script": "init.sh files"}}, assimilators={"uppercase": "script:keep.sh files"})
    project.install_app("uppercase")
    config = trio.text("config.xml")
    assert "<cmd>script_validator -d 3 --app uppercase --sleep_interval 1 --init_script 'init.sh files'</cmd>" in config
    assert "<cmd>script_assimilator -d 3 --app uppercase --sleep_interval 1 --script 'keep.sh files'</cmd>" in config
    for name in ("validators", "assimilators"):
        with pytest.raises(Unsupported, match=name):
            project.configure(**{name: {"uppercase": "python:a.py:b"}})

    project.configure(validators={"uppercase": "trivial"}, script_validators={})
    assert "<cmd>sample_trivial_validator -d 3 --app uppercase --sleep_interval 1</cmd>" in trio.text("config.xml")
    assert "uppercase_validator.pid" in trio.scripts[-1]
    assert "uppercase_assimilator" not in trio.scripts[-1]


def test_options_that_are_files_are_written(trio: FakeTrio, project: UpstreamProject) -> None:
    project.configure(do_file_delete_regex="in_.*", max_jobs_in_progress="<max_jobs_in_progress/>")
    assert trio.text("file_delete_regex") == "in_.*\n"
    assert trio.text("config_aux.xml").splitlines() == ["<config_aux>", "<max_jobs_in_progress/>", "</config_aux>"]


def test_rows_are_read_and_changed_as_an_administrator_does(trio: FakeTrio, project: UpstreamProject) -> None:
    project.table("host_app_version", host_id=1)
    assert trio.database.statements[-1] == "SELECT * FROM `host_app_version` WHERE `host_id` = %s"
    project.edit("app", "uppercase", beta=1)
    assert trio.database.statements[-1] == "UPDATE `app` SET `beta` = %s WHERE name = %s"
    assert "touch reread_db" in trio.scripts[-1]
    project.send_to_host(1, "<trickle_down/>", variety="v")
    assert trio.database.statements[-1].startswith("INSERT INTO msg_to_host ")
    project.allow_submission(Account(7, "a@b.test", "", ""))
    assert trio.database.statements[-1].startswith("REPLACE INTO user_submit ")
    with pytest.raises(UsageError):
        project.table("host; DROP TABLE host")
    with pytest.raises(UsageError):
        project.edit("user", 1, **{"name` = 1, `id": 1})


def test_a_broadcast_is_an_option_without_a_value(trio: FakeTrio, project: UpstreamProject) -> None:
    project.submit("uppercase", broadcast=True)
    assert trio.scripts[-2].endswith("--broadcast")
    assert "touch reread_db" in trio.scripts[-1], "the feeder has to hear of it"


def test_a_platform_is_deprecated_in_the_database_and_the_feeder_told(trio: FakeTrio, project: UpstreamProject) -> None:
    project.deprecate_platform("x86_64-pc-linux-gnu")
    assert any(statement.startswith("UPDATE platform SET deprecated = 1") for statement in trio.database.statements)
    assert "touch reread_db\ntimeout " in trio.scripts[-1], "it waits until that is done"


def test_the_key_cannot_be_changed(project: UpstreamProject) -> None:
    with pytest.raises(Unsupported) as refused:
        project.change_code_sign_key()
    assert refused.value.capability is Capability.KEY_CHANGE
