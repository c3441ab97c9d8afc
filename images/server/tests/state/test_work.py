"""Templates, create_work's options and checks, staging, app versions."""

from __future__ import annotations

import gzip

import pytest
from boinc_server import appversions, crypt, db_purge, models, storage, templates, work

FILE = templates.InputFile

TWO_INPUTS = """<input_template>
  <file_info><number>7</number><sticky/></file_info>
  <file_info><number>3</number></file_info>
  <workunit>
    <file_ref><file_number>3</file_number><open_name>first</open_name></file_ref>
    <file_ref><file_number>7</file_number><open_name>second</open_name><copy_file/></file_ref>
    <command_line>--fast &amp; --good</command_line>
    <rsc_fpops_est>5e9</rsc_fpops_est>
    <delay_bound>3600</delay_bound>
    <something_else>kept</something_else>
  </workunit>
</input_template>
"""


def process(world, text, files=(), command_line=""):
    return templates.process_input_template(world.project, text, files, command_line)


def test_files_are_assigned_by_position_and_numbers_are_ignored(world):
    for name in ("a", "b"):
        work.stage_file(world.project, name, name.encode() * 3)
    job = process(world, TWO_INPUTS, [FILE("a"), FILE("b")])
    assert job.columns == {"rsc_fpops_est": 5e9, "delay_bound": 3600}
    first, second = job.xml_doc.split("<file_ref>")[1:]
    assert "<file_name>a</file_name>" in first
    assert "<open_name>first</open_name>" in first
    assert "<file_name>b</file_name>" in second
    assert "<copy_file/>" in second
    assert "<sticky/>" in job.xml_doc.split("<name>a</name>")[0]
    assert "<something_else>kept</something_else>" in job.xml_doc
    assert "<command_line>\n--fast &amp; --good\n</command_line>" in job.xml_doc
    assert f"<md5_cksum>{crypt.md5_bytes(b'aaa')}</md5_cksum>\n    <nbytes>3</nbytes>" in job.xml_doc
    assert "<number>" not in job.xml_doc


@pytest.mark.parametrize(
    ("text", "files", "what"),
    [
        ("<input_template></input_template>", [], "no <workunit>"),
        ("<file_info></file_info><workunit><file_ref><open_name>x</open_name></file_ref></workunit>", [], "too few input files"),
        ("<workunit></workunit>", ["a"], "1 input files given, but the template has 0"),
        ("<file_info></file_info><workunit></workunit>", ["a"], "0 <file_ref> for 1 <file_info>"),
        ("<workunit><file_ref><open_name>x</open_name></file_ref></workunit>", [], "more <file_ref> than <file_info>"),
        ("<file_info></file_info><workunit><file_ref></file_ref></workunit>", ["a"], "needs an <open_name>"),
        ("<file_info></file_info><workunit></workunit>", ["missing"], "not staged"),
        ("<file_info><physical_name>const</physical_name></file_info><workunit></workunit>", [], "constant file const is not staged"),
        ("<file_info><gzip/></file_info><workunit></workunit>", ["a"], "a.gz is not staged"),
        ("<file_info><nbytes>5</nbytes></file_info><workunit></workunit>", ["a"], "must all be given"),
        ("<workunit><rsc_fpops_est>much</rsc_fpops_est></workunit>", [], "must be a number"),
        ("<workunit><min_quorum>1.5</min_quorum></workunit>", [], "must be a whole number"),
        ("<workunit><rsc_fpops_est>1", [], "no </"),
        ("<file_info></file_info><workunit></workunit>", ["../x"], "not usable"),
        ("<file_info><gzip>yes</gzip></file_info><workunit></workunit>", ["a"], "must be empty, 0 or 1"),
    ],
)
def test_a_wrong_input_template_is_refused(world, text, files, what):
    work.stage_file(world.project, "a", b"a")
    with pytest.raises(templates.TemplateError, match=what):
        process(world, text, [FILE(name) for name in files])


def test_constant_gzipped_and_remote_files(world):
    for name in ("const", "big"):
        work.stage_file(world.project, name, b"x" * 1000)
    target = storage.download_path(world.project, "big")
    target.with_name("big.gz").write_bytes(gzip.compress(b"x" * 1000))
    text = (
        "<file_info><physical_name>const</physical_name></file_info><file_info><gzip/></file_info><file_info></file_info>"
        "<workunit><file_ref><open_name>c</open_name></file_ref><file_ref><open_name>b</open_name></file_ref>"
        "<file_ref><copy_file/></file_ref></workunit>"
    )
    job = process(world, text, [FILE("big"), FILE("", "http://else.test/f", 12, "0" * 32)])
    assert "/const</url>" in job.xml_doc
    assert "big.gz</gzipped_url>" in job.xml_doc
    assert f"<name>jf_{'0' * 32}</name>\n    <url>http://else.test/f</url>" in job.xml_doc
    assert f"<open_name>jf_{'0' * 32}</open_name>" in job.xml_doc


def test_output_template_macros_certificates_and_wrapper(world):
    text = (
        "<output_template>\n<file_info>\n<name><OUTFILE_0/></name>\n<max_nbytes>5e3</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n"
    )
    text += "<result>\n<file_ref>\n<file_name><OUTFILE_0/></file_name>\n</file_ref>\n</result>\n</output_template>\n"
    xml = templates.process_result_template(world.project, text, "wu_0_r1_")
    assert xml.startswith("<file_info>\n<name>wu_0_r1_0</name>")
    assert f"<url>{world.project.upload_url}</url>" in xml
    signature = xml.split("<xml_signature>\n")[1].split("</xml_signature>")[0]
    permission = crypt.upload_permission("wu_0_r1_0", 5000)
    assert crypt.verify_text(permission, signature, world.project.keys.upload.public)
    assert xml.endswith("</result>")
    world.configure(dont_generate_upload_certificates=True)
    assert "xml_signature" not in templates.process_result_template(world.project, text, "x")


def test_a_certificate_needs_file_info_at_the_end_of_its_line(world):
    """add_signatures looks for that text, line end included; a template written otherwise gets none."""
    text = "<file_info> \n<name><OUTFILE_0/></name>\n<max_nbytes>1</max_nbytes>\n</file_info>\n<result>\n</result>"
    assert "xml_signature" not in templates.process_result_template(world.project, text, "x")


def test_text_before_output_template_shifts_what_is_cut(world):
    text = "<!-- a --><output_template>\n<result>\n</result>\n</output_template>"
    assert templates.process_result_template(world.project, text, "x").startswith("_template>")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<file_info>\n<name>x</name>\n</file_info>", "needs <name> and <max_nbytes>"),
        ("<file_info>\n<name>x</name>", "not closed"),
        ("<file_info>\n<name><OUTFILE_0></name>", "not closed by />"),
        ("<file_info>\n<name>x</name>\n<max_nbytes>big</max_nbytes>\n</file_info>", "must be a number"),
    ],
)
def test_a_wrong_output_template_is_refused(world, text, what):
    with pytest.raises(templates.TemplateError, match=what):
        templates.process_result_template(world.project, text, "x")


def test_defaults_are_those_of_create_work(world):
    wu = world.wu(world.job())
    assert (wu.min_quorum, wu.target_nresults, wu.max_error_results, wu.max_total_results, wu.max_success_results) == (1, 1, 1, 1, 1)
    assert (wu.rsc_fpops_est, wu.rsc_fpops_bound, wu.rsc_memory_bound, wu.rsc_disk_bound) == (3.6e12, 8.64e13, 5e8, 1e9)
    assert wu.delay_bound == 7 * 86400


def test_more_replicas_raise_the_limits_that_were_not_given(world):
    wu = world.wu(world.job(target_nresults=4))
    assert (wu.max_success_results, wu.max_total_results) == (4, 4)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_error_results": 5}, "options.max_error_results"),
        ({"max_success_results": 5}, "options.max_success_results"),
    ],
)
def test_impossible_limits_are_refused(world, options, field):
    with pytest.raises(work.WorkError) as caught:
        world.job(**options)
    assert caught.value.field == field


def test_unknown_app_template_and_taken_name_are_refused(world):
    world.job(name="one")
    for arguments, field in (({"app": "nope"}, "app"), ({"name": "one"}, "name"), ({"name": "a/b"}, "name"), ({"wu_template": "no"}, None)):
        with pytest.raises(work.WorkError) as caught:
            world.job(**arguments)
        assert field is None or caught.value.field == field


def test_an_option_counts_more_than_the_template(world):
    template = "<workunit>\n<delay_bound>3600</delay_bound>\n</workunit>\n"
    assert world.wu(world.job(wu_template=template)).delay_bound == 3600
    assert world.wu(world.job(wu_template=template, delay_bound=60)).delay_bound == 60


def test_staged_files_never_change(world):
    assert work.stage_file(world.project, "f", b"one") == work.stage_file(world.project, "f", b"one")
    with pytest.raises(work.WorkError, match="never change"):
        work.stage_file(world.project, "f", b"two")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "a%2eb", "x" * 256, ".hidden", "a b", "a\n", "-rf", "a<b"])
def test_bad_file_names_are_refused(world, name):
    with pytest.raises(storage.BadFilenameError):
        work.stage_file(world.project, name, b"")


# App versions


def tree(world, version_xml="", files=None, version="1.7", platform="x86_64-pc-linux-gnu", app="tree"):
    if world.project.catalog.app_named(app) is None:
        with world.project.transaction() as tx:
            appversions.add_app(tx, app)
    directory = world.project.path("apps", app, version, platform)
    directory.mkdir(parents=True, exist_ok=True)
    if version_xml:
        (directory / "version.xml").write_text(version_xml)
    for name, content in (files or {"main_1": b"\x7fELF API_VERSION_8.2.15\0"}).items():
        (directory / name).write_bytes(content)
    with world.project.transaction() as tx:
        return appversions.update_versions(tx)


def test_a_single_file_is_the_main_program(world):
    [added], messages = tree(world, platform="x86_64-pc-linux-gnu__mt")
    assert messages == []
    version = world.project.catalog.version(added)
    assert (version.version_num, version.plan_class, version.platform) == (107, "mt", "x86_64-pc-linux-gnu")
    assert "<main_program/>" in version.xml_doc
    assert "<executable/>" in version.xml_doc
    assert "<api_version>8.2.15</api_version>" in version.xml_doc
    signature = version.xml_doc.split("<file_signature>\n")[1].split("</file_signature>")[0]
    assert crypt.verify_file(world.project.path("download", "main_1"), signature, world.project.keys.code_sign.public)
    assert tree(world)[0] != []  # another plan class
    assert tree(world, platform="x86_64-pc-linux-gnu__mt") == ([], [])


def test_version_xml_names_files_and_flags(world):
    xml = """<version>
      <file><physical_name>wrap_1</physical_name><main_program/><copy_file/></file>
      <file><physical_name>data_1</physical_name><logical_name>data</logical_name><gzip/><url>http://m.test/data_1</url></file>
      <dont_throttle/><needs_network>0</needs_network><is_wrapper>1</is_wrapper><api_version>8.1.0</api_version><file_prefix>s</file_prefix>
    </version>"""
    [added], _ = tree(world, xml, {"wrap_1": b"w", "data_1": b"d" * 500, "extra_1": b"e", "extra_1.sig": b"ready signature\n."})
    doc = world.project.catalog.version(added).xml_doc
    assert "<dont_throttle/>" in doc
    assert "<is_wrapper/>" in doc
    assert "needs_network" not in doc
    assert "<api_version>8.1.0</api_version>" in doc
    assert "<file_prefix>s</file_prefix>" in doc
    assert "<open_name>data</open_name>" in doc
    assert "<url>http://m.test/data_1</url>\n    <gzipped_url>http://m.test/data_1.gz</gzipped_url>" in doc
    assert "<gzipped_nbytes>" in doc
    assert "<name>extra_1</name>" in doc
    assert "ready signature" in doc
    assert gzip.decompress(world.project.path("download", "data_1.gz").read_bytes()) == b"d" * 500


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"platform": "amiga"}, "no platform 'amiga'"),
        ({"version": "one"}, "is no version"),
        ({"files": {"a_1": b"a", "b_1": b"b"}}, "no file is marked"),
        ({"version_xml": "<version><file></version>"}, "version.xml"),
        ({"version_xml": "<versions/>"}, "expected <version>"),
        ({"version_xml": "<!DOCTYPE x [<!ENTITY a 'b'>]><version/>"}, "document type"),
        ({"version_xml": "<version><file><physical_name>gone</physical_name></file></version>"}, "gone is listed"),
        ({"version_xml": "<version><file><main_program/></file></version>"}, "no <physical_name>"),
    ],
)
def test_an_unusable_version_is_told_and_skipped(world, arguments, what):
    added, messages = tree(world, **arguments)
    assert added == []
    [message] = messages
    assert what in message


def test_files_are_immutable(world):
    tree(world)
    added, [message] = tree(world, version="2", files={"main_1": b"other"})
    assert added == []
    assert "immutable" in message


@pytest.mark.parametrize(("text", "number"), [("1.07", 107), ("1.7", 107), ("2", 2), ("7.20", 720), ("10.0", 1000)])
def test_version_numbers(text, number):
    assert appversions.parse_version(text) == number


@pytest.mark.parametrize("content", [b"x" * (1 << 20) + b"API_VERSION_7.5.0\0", b"API_VERSION_7.5.0\n", b"\0API_VERSION_7.5.0"])
def test_the_api_version_is_found_anywhere(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    assert appversions.find_api_version(tmp_path / "p") == "7.5.0"


def test_the_newest_version_is_sent(world):
    tree(world, app="work", version="1.2", files={"work_102": b"API_VERSION_8.2.15\0"})
    tree(world, app="work", version="1.1", files={"work_101": b"API_VERSION_8.2.15\0"})
    world.job()
    reply = world.host().rpc(1.0)
    assert reply.text.count("<app_version>") == 1
    assert "<version_num>102</version_num>" in reply.text


def test_a_job_can_be_bound_to_a_version(world):
    tree(world, app="work", version="1.2", files={"work_102": b"API_VERSION_8.2.15\0"})
    world.job(app_version_num=100)
    assert "<version_num>100</version_num>" in world.host().rpc(1.0).text


def test_purge_removes_finished_jobs_only(world):
    done, open_job = world.job(), world.job()
    host = world.host()
    host.report(host.fetch()[0])
    world.configure(purge_min_age_days=1)
    assert db_purge.purge(world.project) == 0
    world.advance(2 * 86400)
    assert db_purge.purge(world.project) == 1
    assert [wu.id for wu in world.rows(models.workunit)] == [open_job] != [done]
    assert {r.workunitid for r in world.rows(models.result)} == {open_job}


def test_the_purger_as_a_daemon(world):
    world.configure(db_purge=True, purge_min_age_days=1)
    world.job()
    host = world.host()
    host.report(host.fetch()[0])
    assert len(world.rows(models.workunit)) == 1
    world.advance(86400 + 2)
    assert world.rows(models.workunit) == []
    assert world.rows(models.result) == []
    assert world.rows(models.host)[0].total_credit > 0
