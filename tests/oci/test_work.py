"""What is refused when container jobs are submitted, and what a server is asked to make of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import HarnessError, UsageError
from harness.oci import Image, ImageRefused, Store, load
from harness.oci.work import ContainerJob, ContainerWork
from harness.project.embedded import Control

from .build import Entry, config, layer, oci_layout

LAYERS = [layer([Entry("bin/x", b"program")])]


class FakeControl(Control):
    """Remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []

    def call(self, method: str, path: str, body: object = None) -> Any:
        self.asked.append((method, path, body))
        return {"workunits": [{"id": 1}]} if path.endswith("/work") else []

    def put(self, path: str, content: bytes, **_: object) -> Any:
        self.asked.append(("PUT", path, len(content)))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    conf = config(LAYERS, config={"Cmd": ["/bin/x"]})
    return load(str(oci_layout(tmp_path / "image", LAYERS, conf=conf)), Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"command": ["x" * (128 * 1024)]}, "too long"),
        ({"command": ["x" * 100_000] * 11}, "too long"),
        ({"command": ["a\0b"]}, "too long"),
        ({"environment": {"A=B": "x"}}, "environment variable"),
        ({"environment": {"$(reboot)": "x"}}, "environment variable"),
        ({"outputs": ["../../etc/passwd"]}, "job's file"),
        ({"outputs": ["$(x)"]}, "job's file"),
        ({"outputs": ["-rf"]}, "job's file"),
    ],
)
def test_what_no_volunteer_could_run_is_refused_before_anything_is_sent(image: Image, wishes: dict[str, Any], message: str) -> None:
    control = FakeControl()
    command: Sequence[str] = wishes.pop("command", ["x"])
    with pytest.raises(UsageError, match=message):
        ContainerWork(control, "p").submit(image, command, **wishes)
    assert control.asked == []


def test_a_command_of_100_kilobytes_and_the_oddest_words_go_through_as_they_are(image: Image) -> None:
    words = ["x" * 100_000, "$(reboot)", "a b", "'\"", "", "ä\n", "--rm"]
    control = FakeControl()
    ContainerWork(control, "p").submit(image, words)
    assert ContainerJob(command=words).document(image).decode().count("x" * 100_000) == 1
    assert any(path.endswith("/work") for _, path, _ in control.asked)


def test_a_virtual_machine_has_no_network(image: Image) -> None:
    with pytest.raises(UsageError, match="no network"):
        ContainerWork(FakeControl(), "p", "vm").submit(image, network=True)


def test_an_input_with_a_path_is_refused(image: Image) -> None:
    with pytest.raises(UsageError, match="job's file"):
        ContainerWork(FakeControl(), "p").submit(image, inputs={"../x": b""})


def test_files_of_a_series_outlive_its_first_job_and_no_name_comes_again(image: Image) -> None:
    control = FakeControl()
    work = ContainerWork(control, "p")
    work.submit(image, ["x"])
    work.submit(image, ["x"], count=3)
    one, three = (body for _, path, body in control.asked if path.endswith("/work"))
    assert isinstance(one, dict)
    assert isinstance(three, dict)
    assert one["inputs"][0] != three["inputs"][0]
    own = "<file_info>\n<no_delete/>\n</file_info>"
    assert own not in one["options"]["wu_template"]
    assert own in three["options"]["wu_template"]


@pytest.mark.engine
@pytest.mark.parametrize("name", ["; rm -rf /", "Upper/Case", "a$(reboot)", "--privileged", "x" * 400, "ünicode", " "])
def test_names_that_no_image_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageRefused):
        load(name, Store(tmp_path / "store"))


def test_the_command_says_what_it_takes() -> None:
    found = CliRunner().invoke(cli, ["create_container_work", "--help"])
    for option in ("--vm", "--native", "--either", "--squash-from", "--input", "--output"):
        assert option in found.output
    assert "--gc" in CliRunner().invoke(cli, ["container_images", "--help"]).output


def test_unknown_places_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_CONTROL_URL", "http://127.0.0.1:9")
    with pytest.raises(HarnessError):
        CliRunner().invoke(cli, ["create_container_work", "no-such-image"], catch_exceptions=False)
