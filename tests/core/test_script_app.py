"""Applications that are shell scripts: their templates, and how they talk to the client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from boinc_server import templates

from harness import script_app


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("outputs", [["out"], ["part", "out"]])
def test_the_server_takes_the_output_templates(outputs: list[str], copied: bool) -> None:
    text = script_app.output_template(outputs, "<sticky/>", copied=copied)
    templates.check_result_template(text)
    assert text.count("<copy_file/>") == (len(outputs) if copied else 0)


def test_an_input_template_has_a_reference_for_each_file() -> None:
    text = script_app.input_template(["a", "b"], "<sticky/>")
    assert text.count("<file_info>") == text.count("<file_ref>") == text.count("<sticky/>") == 2


def test_a_message_is_text_and_flag_in_its_channel_and_nothing_else(tmp_path: Path) -> None:
    memory = tmp_path / "boinc_mmap_file"
    memory.write_bytes(b"." * 8192)
    subprocess.run(["sh", "-ec", script_app.message(script_app.TRICKLE_UP, "<have_new_trickle_up/>")], cwd=tmp_path, check=True)
    at, expected = 6 * 1024, b"\x01<have_new_trickle_up/>\0"
    written = memory.read_bytes()
    assert written[at : at + len(expected)] == expected
    assert set(written[:at] + written[at + len(expected) :]) == {ord(".")}


def test_a_link_is_read_as_boincs_library_reads_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("<soft_link>../../projects/p/out_0</soft_link>\n")
    done = subprocess.run(["sh", "-c", f"echo {script_app.link('out')}"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "../../projects/p/out_0\n"
