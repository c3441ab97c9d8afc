"""What of this machine's package settings reaches a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import apt, settings


def test_apt_sources_name_debians_own_keyring_since_the_machines_keys_are_not_in_the_image() -> None:
    text = settings.apt_sources(
        "trixie", apt.parse_one_line("deb [signed-by=/etc/apt/keyrings/own.gpg] http://m.example/debian bookworm main")
    )
    assert "own.gpg" not in text
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in text
    assert "Suites: trixie" in text


def test_a_trusted_mirror_stays_trusted_and_sid_may_be_out_of_date() -> None:
    text = settings.apt_sources("sid", apt.parse_one_line("deb [trusted=yes] http://m.example/debian bookworm main"))
    assert "Trusted: yes" in text
    assert "Check-Valid-Until: no" in text


def test_a_machine_without_a_mirror_gives_no_sources() -> None:
    assert settings.apt_sources("sid", []) == ""


def test_pips_indexes_are_passed_on_but_not_files_of_this_machine() -> None:
    values = {
        "index-url": "https://pip.example/simple",
        "extra-index-url": "file:///opt/x https://more.example/",
        "find-links": "/opt/wheels",
    }
    text = settings.pip_conf(values, with_ca=True)
    assert "index-url = https://pip.example/simple\n" in text
    assert "extra-index-url = https://more.example/\n" in text
    assert "/opt" not in text
    assert f"cert = {settings.CA_INSIDE}" in text
    assert "cert" not in settings.pip_conf({}, with_ca=False)


def test_npms_registry_and_credentials_are_passed_on_and_nothing_else() -> None:
    lines = [
        "registry=https://npm.example/",
        "//npm.example/:_authToken=abc",
        "@own:registry=https://own.example",
        "prefix=/home/me",
        "# x",
    ]
    found = settings.npmrc(lines, with_ca=True).splitlines()
    assert found[0] == f"cafile={settings.CA_INSIDE}"
    assert found[1:4] == lines[:3]
    assert not any("prefix" in line for line in found)


def test_secret_files_are_for_their_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates", encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    found = settings.write_secrets(tmp_path, "trixie")
    assert found.pop("ca") == bundle
    assert {"pip", "npm"} <= set(found)
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o600}


@pytest.mark.parametrize(
    ("said", "proxy"),
    [
        ('Acquire::http "";\nAcquire::http::Proxy "http://cache.example:3142";\n', "http://cache.example:3142"),
        ('Acquire::http::Proxy "DIRECT";\n', ""),
        ("", ""),
    ],
)
def test_apts_own_proxy_is_read(said: str, proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "apt-config"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    settings._apt_proxy.cache_clear()
    try:
        assert settings._apt_proxy() == proxy
    finally:
        settings._apt_proxy.cache_clear()
