"""Which images `--server` means, and what is said when they are not to be had."""

import docker.errors
import pytest

from harness import engine
from harness.errors import UsageError
from harness.project.upstream.imageset import ImageSet, NoImages, parse_server


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("upstream", [f"boinc/server_{part}:latest-defaultargs" for part in ("makeproject", "mysql", "apache")]),
        ("upstream:mine/boinc", [f"mine/boinc_{part}:latest-defaultargs" for part in ("makeproject", "mysql", "apache")]),
        ("upstream:mine/boinc:4.1", [f"mine/boinc_{part}:4.1" for part in ("makeproject", "mysql", "apache")]),
        ("upstream:reg.test:5000/b", [f"reg.test:5000/b_{part}:latest-defaultargs" for part in ("makeproject", "mysql", "apache")]),
        ("upstream:a:1, b , c/d:2", ["a:1", "b", "c/d:2"]),
    ],
)
def test_an_image_set_is_three_references(text: str, images: list[str]) -> None:
    found = parse_server(text)
    assert found is not None
    assert list(found.references) == images


def test_the_embedded_server_has_no_image_set() -> None:
    assert parse_server("embedded") is None


@pytest.mark.parametrize(
    "text", ["apache", "", "embedded:x", "upstream:", "upstream:a,b", "upstream:a,,c", "upstream:a,b,c,d", "upstream:a b"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_server(text)
    assert refused.value.expected


class _Images:
    def __init__(self, here: set[str], registry: set[str]) -> None:
        self.here, self.registry, self.pulled = here, registry, list[str]()

    def get(self, name: str) -> None:
        if name not in self.here:
            raise docker.errors.ImageNotFound(name)

    def pull(self, name: str) -> None:
        self.pulled.append(name)
        if name not in self.registry:
            raise docker.errors.APIError("no such host: registry", explanation="dial tcp: no such host\nmore")
        self.here.add(name)


class _Client:
    def __init__(self, images: _Images) -> None:
        self.images = images


def test_missing_images_are_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _Images({"b"}, {"a", "c"})
    monkeypatch.setattr(engine, "connect", lambda: _Client(images))
    ImageSet("a", "b", "c").ensure()
    assert images.pulled == ["a", "c"]


def test_a_registry_that_does_not_answer_is_asked_once_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _Images({"b"}, set())
    monkeypatch.setattr(engine, "connect", lambda: _Client(images))
    with pytest.raises(NoImages) as lacking:
        ImageSet("a", "b", "c").ensure()
    assert images.pulled == ["a"]
    assert lacking.value.missing == ["a", "c"]
    assert "no such host" in str(lacking.value)
    assert "--server upstream:" in lacking.value.reason, "a person is told what to do"
