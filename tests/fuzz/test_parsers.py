"""Whatever bytes a parser is given, it reads them or refuses them with its own error, in time that grows with their number.

Good inputs are cut, repeated and spoilt. BOINC_TEST_EXAMPLES says how often for each parser: seconds by default, hours if wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from boinc_server import account_manager, crypt, generators, plan_class_spec, simulate, templates, upload, work
from boinc_server.body import BodyStream
from boinc_server.mail import Mailer
from boinc_server.project import Project
from boinc_server.registry import Registry
from boinc_server.submit import access
from boinc_server.wire import parse
from boinc_server.wire.reader import WireError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.guirpc import nearxml
from harness.scenario import loader
from harness.scenario.problems import ScenarioFileError

EXAMPLES = int(os.environ.get("BOINC_TEST_EXAMPLES", "60"))
SECONDS = 2.0
"""For one input of a few kilobytes: only a loop that does not end, or that grows with the square, takes so long."""
FILES = Path(__file__).parents[2] / "scenarios/files"


@dataclass(frozen=True)
class Parser:
    """A parser: a good input, how it is called, and what it may raise."""

    seed: bytes
    call: Callable[[Project, bytes], object]
    refuses: tuple[type[Exception], ...]


def text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def upload_header(_: Project, content: bytes) -> object:
    """The header in pieces, as a slow sender's comes."""
    pieces = iter([content[start : start + 37] for start in range(0, len(content), 37)])

    async def receive() -> Mapping[str, object]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return asyncio.run(upload.parse_header(BodyStream(receive)))  # type: ignore[arg-type]  # a Mapping is all it needs


INPUT_TEMPLATE = b"""<input_template>
<file_info>
    <number>0</number>
    <sticky/>
    <gzip>0</gzip>
</file_info>
<file_info>
    <physical_name>in_1</physical_name>
</file_info>
<workunit>
    <file_ref><file_number>0</file_number><open_name>in</open_name><copy_file/></file_ref>
    <file_ref><open_name>more</open_name></file_ref>
    <command_line>--fast</command_line>
    <rsc_fpops_est>1e12</rsc_fpops_est>
    <delay_bound>3600</delay_bound>
    <min_quorum>2</min_quorum>
</workunit>
</input_template>
"""
OUTPUT_TEMPLATE = b"""<output_template>
<file_info>
    <name><OUTFILE_0/></name>
    <max_nbytes>1000</max_nbytes>
    <url><UPLOAD_URL/></url>
</file_info>
<result>
    <file_ref><file_name><OUTFILE_0/></file_name><open_name>out</open_name></file_ref>
</result>
</output_template>
"""
SUBMIT = b"""<submit_batch><authenticator>0123</authenticator><batch><app_name>uppercase</app_name><batch_name>b</batch_name>
<job><name>j</name><command_line>-x</command_line><input_file><mode>inline</mode><source>hello</source></input_file></job></batch>
</submit_batch>"""
CLASSES = b"""<plan_classes><plan_class><name>mt</name><min_ncpus>2</min_ncpus><max_threads>8</max_threads><os_regex>^Linux</os_regex>
<cpu_feature>avx2</cpu_feature><min_libc_version>2.36</min_libc_version><projected_flops_scale>1.5</projected_flops_scale></plan_class>
<plan_class><name>vbox64</name><virtualbox/><is64bit/><min_vbox_version>70000</min_vbox_version></plan_class></plan_classes>"""
MANAGER = b"<acct_mgr_request>\n<name>ann</name>\n<password_hash>00</password_hash>\n<project>\n<url>http://x/</url>\n</project>\n</acct_mgr_request>\n"
GUI_RPC = (
    b"<boinc_gui_rpc_reply>\n<cc_status>\n<task_mode>1</task_mode>\n<reason><![CDATA[a<b]]></reason>\n</cc_status>\n"
    b"</boinc_gui_rpc_reply>\n"
)
PREFERENCES = (
    b"<global_preferences>\n<mod_time>5</mod_time>\n<ram_max_used_busy_pct>50</ram_max_used_busy_pct>\n"
    b'<venue name="home">\n<disk_max_used_gb>9</disk_max_used_gb>\n</venue>\n</global_preferences>\n'
)


def request() -> bytes:
    """A scheduler request with something of everything."""
    file = simulate.File("r_0_r1_0", ["http://boinc.test/p_cgi/file_upload_handler"], 5, 100, "", "", "", False)
    host = simulate.SimulatedHost("0" * 32, held=["other_0"], platforms=(simulate.PLATFORM, "i686-pc-linux-gnu"))
    host.extra = "<msg_from_host>\n<result_name>r_0</result_name>\n<time>7</time>\n<variety>v</variety>\nraw < text\n</msg_from_host>\n"
    host.extra += (
        "<coprocs><coproc_cuda><count>2</count><name>G</name></coproc_cuda></coprocs>\n<client_opaque><![CDATA[x]]></client_opaque>\n"
    )
    return host.request(1.0, [simulate.Finished("r_0", outputs=[(file, b"hello")])])


def upload_request() -> bytes:
    file = simulate.File("r_0_r1_0", [], 5, 100, "", "ab" * 32 + "\n.\n", "", False)
    return simulate.upload_request(file, b"hello")


PARSERS: Mapping[str, Parser] = {
    "scheduler request": Parser(request(), lambda _, content: parse.parse_request(content), (WireError,)),
    "upload header": Parser(upload_request(), upload_header, (WireError,)),
    "preferences": Parser(PREFERENCES, lambda _, content: parse.parse_global_prefs(text(content), "home"), ()),
    "input template": Parser(
        INPUT_TEMPLATE,
        lambda project, content: templates.process_input_template(project, text(content), [templates.InputFile("in_1")]),
        (templates.TemplateError,),
    ),
    "output template": Parser(
        OUTPUT_TEMPLATE,
        lambda project, content: templates.process_result_template(project, text(content), "wu_0_r1_"),
        (templates.TemplateError,),
    ),
    "submission RPC": Parser(SUBMIT, lambda _, content: access.parse(text(content)), (access.RpcError,)),
    "account manager RPC": Parser(MANAGER, lambda _, content: account_manager._parse(content), (WireError,)),
    "plan_class_spec.xml": Parser(CLASSES, lambda _, content: plan_class_spec.parse(text(content)), (plan_class_spec.SpecError,)),
    # a line of the project's own script: pydantic's error is a ValueError
    "create_work line": Parser(
        b"--wu_name w --command_line '-x 1' --priority 3 in_1", lambda _, content: generators.parse_line(text(content)), (ValueError,)
    ),
    "key": Parser(b"1024\n" + b"ab" * 32 + b"\n.\n", lambda _, content: crypt.PublicKey.parse(text(content)), (crypt.KeyFormatError,)),
    "GUI RPC reply": Parser(GUI_RPC, lambda _, content: nearxml.parse(text(content)), (nearxml.NearXmlError,)),
    "scenario file": Parser(
        (FILES / "quorum_through_trouble.scenario.yaml").read_bytes(),
        lambda _, content: loader.loads(text(content), FILES / "x.scenario.yaml"),
        (ScenarioFileError,),
    ),
}

SYNTAX = [
    b"<", b">", b"</", b"/>", b"<a>" * 200, b"</a>" * 200, b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;", b"&#0;", b"&#300;", b"&amp;", b"&lt;" * 50, b"<OUTFILE_0/>", b"<OUTFILE_", b"{}", b"[" * 100, b"&a *a", b"'", b'"',
]  # fmt: skip
CHARACTERS = [b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", "\u202e".encode(), "\u0663".encode(), b"\r", b"\n", b"\n\n", b"\t"]
NUMBERS = [b"-1", b"nan", b"inf", b"1e999", b"-1e-999", b"0x10", b"010", b"99999999999999999999", b"2147483648", b"1_000"]
TEXTS = [b"../../etc/passwd", b"%2e%2e/", b"a" * 5000, b"' OR 1=1 --", b"%s%n"]
PIECES = SYNTAX + CHARACTERS + NUMBERS + TEXTS


@st.composite
def spoilt(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good input in which some places are overwritten, some parts repeated or moved, and the end may be missing."""
    content = bytearray(seed)
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 60))
        if draw(st.booleans()):
            content[start : start + length] = draw(st.sampled_from(PIECES) | st.binary(max_size=12))
        else:
            source = draw(st.integers(0, len(content)))
            content[start:start] = content[source : source + length] * draw(st.integers(1, 3))
    return bytes(content[: draw(st.integers(0, len(content)))]) if draw(st.integers(0, 4)) == 0 else bytes(content)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    registry = Registry(tmp_path_factory.mktemp("fuzz"), "http://boinc.test/", Mailer())
    project = registry.create("p", "P")
    work.stage_file(project, "in_1", b"hello")
    yield project
    registry.close()


@pytest.mark.timeout(max(300, EXAMPLES))
@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_are_read_or_refused_in_time(project: Project, name: str) -> None:
    parser = PARSERS[name]

    def attempt(content: bytes) -> None:
        begun = time.perf_counter()
        with contextlib.suppress(*parser.refuses):
            parser.call(project, content)
        assert time.perf_counter() - begun < SECONDS

    attempt(parser.seed)
    settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))(given(spoilt(parser.seed))(attempt))()


@pytest.mark.parametrize("name", PARSERS)
def test_the_good_input_is_good(project: Project, name: str) -> None:
    """Else the test above would show that everything is refused, and no more."""
    if name != "key":  # too short to be one
        PARSERS[name].call(project, PARSERS[name].seed)


BOMBS: Mapping[str, bytes] = {
    "nested": b"<a>" * 200_000,
    "closed": b"<a></a>" * 100_000,
    "ends": b"</a>" * 200_000,
    "comments": b"<!--" * 100_000,
    "CDATA": b"<![CDATA[" * 100_000,
    "entities": b"&amp;" * 200_000,
    "open tag": b"<" + b"a" * 1_000_000,
    "attributes": b"<a " + b"b " * 500_000,
    "macros": b"<OUTFILE_" * 50_000,
    "blanks": b" " * 1_000_000,
    "YAML anchors": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh"),
    "YAML lists": b"[" * 100_000,
    "laughs": b'<!DOCTYPE a [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in b"bcdefghij")
    + b"]><a>&j;</a>",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", PARSERS)
def test_bombs_take_no_time(project: Project, name: str, bomb: str) -> None:
    parser = PARSERS[name]
    half = len(parser.seed) // 2
    for content in (BOMBS[bomb], parser.seed[:half] + BOMBS[bomb] + parser.seed[half:]):
        begun = time.perf_counter()
        with contextlib.suppress(*parser.refuses):
            parser.call(project, content)
        assert time.perf_counter() - begun < 5 * SECONDS, len(content)
