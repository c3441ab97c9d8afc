"""The files of an upstream project that are changed, and the commands that make its jobs."""

import io
import shlex
import tarfile

import pytest

from harness.errors import HarnessError
from harness.project.upstream import setup, work
from harness.project.upstream.project import file_names
from harness.project.upstream.setup import Daemon

CONFIG = """<boinc>
  <config>
    <max_wus_to_send>50</max_wus_to_send>
    <host>p</host>
  </config>
  <daemons>
    <daemon><cmd>feeder -d 3 </cmd></daemon>
    <daemon><cmd>file_deleter -d 3</cmd></daemon>
  </daemons>
  <tasks><task><cmd>db_dump -d 2</cmd></task></tasks>
</boinc>
"""
PROJECT = "<boinc>\n<platform><name>uppercase</name></platform>\n</boinc>\n"


def test_options_are_replaced_or_added_once() -> None:
    text = setup.with_options(CONFIG, {"max_wus_to_send": 10, "one_result_per_host_per_wu": True, "symstore": "a&b"})
    assert "<max_wus_to_send>10</max_wus_to_send>" in text
    assert "50" not in text
    assert text.count("one_result_per_host_per_wu") == 2
    assert "<one_result_per_host_per_wu>1<" in text
    assert "<symstore>a&amp;b<" in text
    assert setup.with_options(text, {"symstore": "a&b"}) == text


def test_a_file_that_is_no_config_is_refused() -> None:
    with pytest.raises(HarnessError):
        setup.with_options("<html>", {"a": 1})
    with pytest.raises(HarnessError):
        setup.with_daemons("<html>", [Daemon("x", "x")])


def test_daemons_look_every_second_and_there_are_no_tasks() -> None:
    text = setup.paced(CONFIG)
    assert "<cmd>feeder -d 3 --sleep_interval 1</cmd>" in text
    assert "<cmd>file_deleter -d 3 --sleep_interval 1</cmd>" in text
    assert "db_dump" not in text
    assert setup.paced(text) == text


def test_an_application_gets_a_validator_and_an_assimilator_of_those_there_are() -> None:
    daemons = setup.daemons_of("uppercase", ["sample_bitwise_validator", "sample_assimilator", "feeder"])
    assert [daemon.command.split()[0] for daemon in daemons] == ["sample_bitwise_validator", "sample_assimilator"]
    text = setup.with_daemons(CONFIG, daemons)
    assert text.count("--app uppercase") == 2
    assert setup.with_daemons(text, daemons) == text
    with pytest.raises(HarnessError):
        setup.daemons_of("uppercase", ["feeder"])


def test_an_application_is_registered_once_whatever_platforms_are_called() -> None:
    text = setup.with_app(PROJECT, "uppercase", "Upper & case")
    assert "<app><name>uppercase</name><user_friendly_name>Upper &amp; case</user_friendly_name></app>" in text
    assert setup.with_app(text, "uppercase") == text


def test_the_sample_applications_by_their_place_in_the_project() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("apps/a/1.0/x86_64-pc-linux-gnu/a", "apps/a/templates/a_in"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    assert setup.by_app(stream.getvalue()) == {"a": {"apps/a/1.0/x86_64-pc-linux-gnu/a": b"x", "templates/a_in": b"x"}}


def test_a_job_is_staged_and_created_with_what_was_asked_for() -> None:
    files = work.input_files([b"one", b"one"])
    assert len(files) == 2, "the same content twice is two files"
    request = work.Request("concat", "j1", files, "-x 'a b'", {"wu_template": "templates/t"}, {"min_quorum": 2, "rsc_fpops_est": 1e9})
    stage, create = work.script([request]).splitlines()
    assert "bin/dir_hier_path" in stage
    words = shlex.split(create)
    assert words[:5] == ["bin/create_work", "--appname", "concat", "--wu_name", "j1"]
    assert words[words.index("--command_line") + 1] == "-x 'a b'"
    assert words[words.index("--rsc_fpops_est") + 1] == "1000000000"
    assert words[-2:] == list(files)


def test_an_option_counts_more_than_the_template() -> None:
    template = "<workunit>\n    <min_quorum>1</min_quorum>\n    <delay_bound>60</delay_bound>\n</workunit>\n"
    assert work.without(template, {"min_quorum": 2}) == "<workunit>\n    <delay_bound>60</delay_bound>\n</workunit>\n"
    assert work.without(template, {"min_quorum": None, "priority": 1}) == template
    assert work.may_be_in_template({"rsc_fpops_est": 1e9})
    assert not work.may_be_in_template({"priority": 1, "min_quorum": None})


def test_jobs_without_files_stage_nothing() -> None:
    assert "harness_staging" not in work.script([work.Request("sleeper", "j", {}, "60")])


def test_output_files_by_their_logical_names() -> None:
    text = "<result><file_ref><file_name>j_0_0</file_name><open_name>out</open_name></file_ref></result>"
    assert file_names(text) == {"out": "j_0_0"}
