"""Client generations as people name them."""

import pytest

from harness.versions import ClientVersion, UnknownClientVersion, parse_versions


@pytest.mark.parametrize(
    ("text", "version"),
    [("7.20", ClientVersion.V7_20), ("7.20.5", ClientVersion.V7_20), ("trixie", ClientVersion.V8_0), ("8.2.15", ClientVersion.V8_2)],
)
def test_names_of_a_generation(text: str, version: ClientVersion) -> None:
    assert ClientVersion.of(text) is version


@pytest.mark.parametrize("text", ["", "8", "8.1", "8.20", "buster", "latest", "8.2x"])
def test_an_unknown_one_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownClientVersion) as caught:
        ClientVersion.of(text)
    assert all(version.value in str(caught.value) for version in ClientVersion)


def test_a_list_of_them() -> None:
    assert parse_versions("all") == list(ClientVersion)
    assert parse_versions(" 8.2, 7.20 ,8.2") == [ClientVersion.V8_2, ClientVersion.V7_20]
    with pytest.raises(UnknownClientVersion):
        parse_versions(" , ")
