"""A job as BOINC's docker_wrapper takes it: Dockerfile and job.toml."""

import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.oci import docker_wrapper
from harness.oci.docker_wrapper import DockerWrapper
from harness.oci.image import Image, Layer
from harness.oci.work import ContainerJob

CONFIG = {"config": {"Env": ["PATH=/bin", "A=1"], "Cmd": ["echo", "hello"], "WorkingDir": "/tmp", "User": "worker"}}


def tar_of(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    path = tmp_path / "layer"
    path.write_bytes(tar_of("file"))
    return Image("test", json.dumps(CONFIG).encode(), [Layer("sha256:" + "1" * 64, "sha256:" + "2" * 64, 10, 10, path)])


def test_the_image_is_its_layers_and_settings_with_the_jobs_over_them(image: Image) -> None:
    job = ContainerJob(environment={"A": 'x"$y\\'}, user="root")
    assert docker_wrapper.dockerfile(image, job).splitlines() == [
        "FROM scratch",
        f"ADD image/sha256-{'1' * 64} /",
        'ENV PATH="/bin"',
        'ENV A="x\\"\\$y\\\\"',
        'ENV SHARED="/shared"',
        "WORKDIR /tmp",
        "USER root",
        'ENTRYPOINT ["/bin/sh", "-c", "exec \\"$@\\" > /boinc/stdout 2> /boinc/stderr", "sh", "echo", "hello"]',
    ]


def test_an_entrypoint_of_the_jobs_own_drops_the_images_command(image: Image) -> None:
    last = docker_wrapper.dockerfile(image, ContainerJob(entrypoint=["cat"])).splitlines()[-1]
    assert json.loads(last.removeprefix("ENTRYPOINT "))[-2:] == ["sh", "cat"]


@pytest.mark.parametrize(("network", "arguments"), [(False, "--network=none"), (True, "")])
def test_the_network_is_off_unless_asked_for(network: bool, arguments: str) -> None:
    assert tomllib.loads(docker_wrapper.job_toml(ContainerJob(network=network)))["create_args"] == arguments


def test_layers_that_remove_files_and_lines_are_refused(image: Image) -> None:
    with pytest.raises(UsageError, match="several lines"):
        docker_wrapper.dockerfile(image, ContainerJob(environment={"A": "1\n2"}))
    image.layers[0].path.write_bytes(tar_of("folder/.wh.file"))
    with pytest.raises(UsageError, match="whose layers remove files"):
        docker_wrapper.dockerfile(image, ContainerJob())


def test_a_feature_has_to_be_one() -> None:
    assert docker_wrapper.lacks(["users", "memory"]) == ["memory", "users"]
    with pytest.raises(UsageError, match="no feature"):
        docker_wrapper.lacks(["magic"])


def test_a_wrapper_has_to_be_a_program(tmp_path: Path) -> None:
    path = tmp_path / "wrapper"
    path.write_bytes(b"text")
    with pytest.raises(UsageError, match="no program"):
        DockerWrapper.at(path)
