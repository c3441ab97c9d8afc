"""Keys and signatures: the format, and that nothing else passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from boinc_server import crypt
from hypothesis import given
from hypothesis import strategies as st

KEYS = crypt.generate_project_keys()
KEY = KEYS.code_sign


def test_key_texts_have_the_form_of_crypt_prog() -> None:
    public = KEY.public.text().splitlines()
    private = KEY.text().splitlines()
    assert (public[0], public[-1], len(public)) == ("1024", ".", 1 + 8 + 1)
    assert (private[0], private[-1], len(private)) == ("1024", ".", 1 + 22 + 1)
    assert all(len(line) == 64 for line in public[1:-1] + private[1:-1])
    assert public[5:9] == ["0" * 64] * 3 + ["010001".zfill(64)]


def test_keys_survive_a_round_trip(tmp_path: Path) -> None:
    assert crypt.PrivateKey.parse(KEY.text()) == KEY
    assert crypt.PublicKey.parse(KEY.public.text()) == KEY.public
    KEYS.save(tmp_path)
    assert crypt.ProjectKeys.load(tmp_path) == KEYS
    assert (tmp_path / "upload_private").stat().st_mode & 0o077 == 0


def test_signature_is_type_1_padding_around_the_md5_text() -> None:
    signature = crypt.sign_text("hello", KEY)
    lines = signature.splitlines()
    assert [len(line) for line in lines] == [64, 64, 64, 64, 1]
    block = pow(int("".join(lines[:4]), 16), KEY.e, KEY.n).to_bytes(128, "big")
    assert block == b"\0\1" + b"\xff" * 93 + b"\0" + b"5d41402abc4b2a76b9719d911017c592"


def test_signatures_fit_one_text_and_one_key() -> None:
    signature = crypt.sign_upload("r_0_0", 1e6, KEYS.upload)
    permission = crypt.upload_permission("r_0_0", 1e6)
    assert permission == "<name>r_0_0</name><max_nbytes>1000000</max_nbytes>"
    assert crypt.verify_text(permission, signature, KEYS.upload.public)
    assert not crypt.verify_text(permission, signature, KEYS.code_sign.public)
    assert not crypt.verify_text(crypt.upload_permission("r_0_0", 1e6 + 1), signature, KEYS.upload.public)
    assert not crypt.verify_text(crypt.upload_permission("r_0_1", 1e6), signature, KEYS.upload.public)


def test_file_signatures(tmp_path: Path) -> None:
    file = tmp_path / "app"
    file.write_bytes(b"x" * 3_000_000)
    signature = crypt.sign_file(file, KEY)
    assert crypt.verify_file(file, signature, KEY.public)
    file.write_bytes(b"x" * 2_999_999 + b"y")
    assert not crypt.verify_file(file, signature, KEY.public)


@pytest.mark.parametrize("text", ["", "1024", "1024\n", "512\nab\n.\n", "1024\nabc\n.\n", "x\n", "1024\n" + "ab" * 300 + "\n.\n"])
def test_damaged_private_keys_are_refused(text: str) -> None:
    with pytest.raises(crypt.KeyFormatError):
        crypt.PrivateKey.parse(text)


@given(st.text())
def test_no_text_is_a_signature(text: str) -> None:
    assert not crypt.verify_text("hello", text, KEY.public)


@given(st.binary(min_size=128, max_size=128))
def test_no_bytes_are_a_signature(data: bytes) -> None:
    assert not crypt.verify_text("hello", crypt.format_hex(data), KEY.public)


@given(st.binary(max_size=200))
def test_hex_form_round_trip(data: bytes) -> None:
    assert crypt.parse_hex(crypt.format_hex(data)) == data
