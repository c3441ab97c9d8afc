"""Files: identity, download, certificates, upload (client/file_xfer.cpp, sched/file_upload_handler.cpp, lib/crypt.cpp)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from boinc_server import crypt, storage, work

from .conftest import World

NAME = "wu_1_0_r123456_0"
CONTENT = bytes(range(256)) * 64


def staged(world: World) -> str:
    """The URL of a staged file with CONTENT."""

    def stage() -> str:
        work.stage_file(world.project, "data_1", CONTENT)
        return storage.download_url(world.project, "data_1")

    return world.call(stage)


def test_fan_out_uses_28_bits_of_the_names_md5(world: World) -> None:
    digest = hashlib.md5(b"data_1", usedforsecurity=False).hexdigest()
    assert staged(world) == f"{world.url}download/{int(digest[1:8], 16) % 1024:x}/data_1"


DOWNLOADS: list[tuple[str, dict[str, str], int, bytes]] = [
    ("whole", {}, 200, CONTENT),
    ("resume", {"range": "bytes=1000-"}, 206, CONTENT[1000:]),
    ("part", {"range": "bytes=10-19"}, 206, CONTENT[10:20]),
    ("beyond", {"range": f"bytes={len(CONTENT)}-"}, 416, b""),
    ("nonsense", {"range": "pages=1-2"}, 200, CONTENT),
    ("compression is not used", {"accept-encoding": "gzip, deflate"}, 200, CONTENT),
]


@pytest.mark.parametrize(("name", "headers", "status", "content"), DOWNLOADS, ids=[row[0] for row in DOWNLOADS])
def test_download(world: World, name: str, headers: dict[str, str], status: int, content: bytes) -> None:
    response = world.http.get(staged(world), headers=headers)
    assert response.status_code == status, name
    assert "content-encoding" not in response.headers
    if status != 416:
        assert response.content == content


def test_a_missing_file_is_404(world: World) -> None:
    assert world.get("download/1/nothing").status_code == 404


def test_stopped_downloads_are_transient(world: World) -> None:
    url = staged(world)
    world.configure(stop_download=True)
    assert world.http.get(url).status_code == 503


def body(world: World, data: bytes = b"hello", **changes: Any) -> bytes:
    """An upload; `changes` replace single parts, None leaves one out."""
    name = changes.get("name", NAME)
    max_nbytes = changes.get("max_nbytes", 1000)
    signed_name, signed_size = changes.get("sign_as", (name, max_nbytes))
    signature = changes.get("signature", crypt.sign_upload(signed_name, signed_size, world.project.keys.upload))
    parts = {
        "name": f"<name>{name}</name>\n",
        "signature": f"<xml_signature>\n{signature}</xml_signature>\n",
        "max_nbytes": f"<max_nbytes>{max_nbytes}</max_nbytes>\n",
        "nbytes": f"<nbytes>{changes.get('nbytes', len(data))}</nbytes>\n",
        "md5": f"<md5_cksum>{changes.get('md5', hashlib.md5(data, usedforsecurity=False).hexdigest())}</md5_cksum>\n",
        "offset": f"<offset>{changes.get('offset', 0)}</offset>\n",
        "data": "<data>\n",
    }
    for part, value in changes.items():
        if value is None:
            parts[part] = ""
    head = (
        "<data_server_request>\n    <core_client_major_version>8</core_client_major_version>\n"
        "    <core_client_minor_version>2</core_client_minor_version>\n    <core_client_release>15</core_client_release>\n"
        f"<file_upload>\n<file_info>\n{parts['name']}{parts['signature']}{parts['max_nbytes']}</file_info>\n"
        f"{parts['nbytes']}{parts['md5']}{parts['offset']}{parts['data']}"
    )
    offset = changes.get("offset", 0)
    return head.encode() + (data[offset:] if isinstance(offset, int) and offset >= 0 else data)


UPLOADS: list[tuple[str, dict[str, Any], int, str]] = [
    ("good", {}, 0, ""),
    ("empty", {"data": b""}, 0, ""),
    ("without MD5", {"md5": ""}, 0, ""),
    ("exactly the limit", {"data": b"x" * 1000}, 0, ""),
    ("missing name", {"name": "", "sign_as": ("", 1000)}, -1, "Missing name"),
    ("missing data", {"data_tag": None}, 0, ""),
    ("missing signature", {"signature": None}, -1, "missing signature"),
    ("empty signature", {"signature": ""}, -1, "missing signature"),
    ("nonsense signature", {"signature": "abcd\n.\n"}, -1, "invalid signature"),
    ("signature of another name", {"sign_as": ("other", 1000)}, -1, "invalid signature"),
    ("signature of another limit", {"sign_as": (NAME, 999)}, -1, "invalid signature"),
    ("missing limit", {"max_nbytes": -1}, -1, "missing max_nbytes"),
    ("missing size", {"nbytes": None}, -1, "nbytes missing or negative"),
    ("negative size", {"nbytes": -1}, -1, "nbytes missing or negative"),
    ("size is no number", {"nbytes": "nan"}, -1, "nbytes missing or negative"),
    ("over the limit", {"data": b"x" * 3000, "max_nbytes": 1024}, -1, "file size (2 KB) exceeds limit (1 KB)"),
    ("parent directory", {"name": "../x", "sign_as": ("../x", 1000)}, -1, "invalid filename"),
    ("dots inside", {"name": "a..b", "sign_as": ("a..b", 1000)}, -1, "invalid filename"),
    ("short body", {"data": b"hel", "nbytes": 5, "md5": ""}, 1, "EOF on socket read : asked for 5, got 3"),
    ("offset beyond what is here", {"offset": 3}, 1, "length of file"),
    ("offset at the end", {"offset": 5}, 0, ""),
    ("offset past the end", {"offset": 50}, 0, ""),
    ("no MD5, as old clients", {"md5": ""}, 0, ""),
    ("MD5 in capitals", {"md5": hashlib.md5(b"hello", usedforsecurity=False).hexdigest().upper()}, 0, ""),
    ("MD5 that is none", {"md5": "12345"}, -1, "md5_cksum is no MD5"),
    ("size with decimals", {"nbytes": "5.000000"}, 0, ""),
    ("size that is no whole number", {"nbytes": "4.5"}, -1, "nbytes missing or negative"),
    ("infinite size", {"nbytes": "inf"}, -1, "nbytes missing or negative"),
    ("infinite offset", {"offset": "inf"}, 1, "offset"),
    ("more data than announced", {"data": b"hello, and more", "nbytes": 5, "md5": ""}, 0, ""),
    ("exactly the limit", {"data": b"x" * 1000}, 0, ""),
    ("one byte over the limit", {"data": b"x" * 1001}, -1, "exceeds limit"),
    ("control character", {"name": "a\x01b", "sign_as": ("a\x01b", 1000)}, -1, "invalid filename"),
    ("percent", {"name": "%2e%2e", "sign_as": ("%2e%2e", 1000)}, -1, "invalid filename"),
    ("4 KB name", {"name": "x" * 4096, "sign_as": ("x" * 4096, 1000)}, -1, "invalid filename"),
    ("negative offset", {"offset": -5}, 1, "offset"),
    ("wrong MD5", {"md5": "0" * 32}, 1, "wrong MD5"),
]


@pytest.mark.parametrize(("name", "changes", "status", "message"), UPLOADS, ids=[row[0] for row in UPLOADS])
def test_upload(world: World, name: str, changes: dict[str, Any], status: int, message: str) -> None:
    changes = dict(changes)
    data = changes.pop("data", b"hello")
    changes.pop("data_tag", None)
    got, text = world.upload(body(world, data, **changes))
    assert got == status, f"{name}: {text}"
    assert ("<message>" in text) == (status != 0)
    assert message in text


def test_an_upload_without_data_tag(world: World) -> None:
    request = body(world).replace(b"<data>\nhello", b"")
    assert world.upload(request)[0] == -1


@pytest.mark.parametrize("request_body", [b"", b"junk\n", b"<data_server_request>\n</data_server_request>\n"])
def test_no_command_is_transient(world: World, request_body: bytes) -> None:
    status, text = world.upload(request_body)
    assert (status, "no command" in text) == (1, True)


def size(world: World, name: str = NAME) -> tuple[int, str]:
    status, text = world.upload(f"<data_server_request>\n<get_file_size>{name}</get_file_size>\n</data_server_request>\n".encode())
    found = re.search(r"<file_size>(\d+)</file_size>", text)
    return status, found.group(1) if found else ""


def test_size_query_upload_in_two_parts_and_completion(world: World) -> None:
    assert size(world) == (0, "0")
    assert world.upload(body(world, b"hel", nbytes=5, md5=""))[0] == 1
    assert size(world) == (0, "3")
    assert world.upload(body(world, b"hello", offset=3))[0] == 0
    assert size(world) == (0, "5")
    assert world.events("upload.done")[-1]["offset"] == 3


def test_a_size_query_with_a_bad_name_is_permanent(world: World) -> None:
    assert size(world, "../x") == (-1, "")


def test_stopped_uploads_are_transient(world: World) -> None:
    world.configure(stop_upload=True)
    assert world.upload(body(world))[0] == 1
    assert size(world) == (1, "")


def test_certificates_can_be_switched_off(world: World) -> None:
    world.configure(ignore_upload_certificates=True)
    assert world.upload(body(world, signature=None))[0] == 0


def test_versions_are_told_in_any_form(world: World) -> None:
    for content_type in ("text/xml", "application/x-www-form-urlencoded", "application/octet-stream"):
        response = world.http.post(world.project.upload_url, content=body(world), headers={"content-type": content_type})
        assert "<status>0</status>" in response.text


# --- keys and signatures


def test_the_key_texts(world: World) -> None:
    for text, lines in ((world.project.keys.code_sign.public.text(), 8), (world.project.keys.upload.text(), 22)):
        assert re.fullmatch(rf"1024\n(?:[0-9a-f]{{64}}\n){{{lines}}}\.\n", text)


def test_a_signature_verifies_as_the_client_does_it(world: World) -> None:
    key = world.project.keys.upload.public
    signature = crypt.sign_upload(NAME, 1000, world.project.keys.upload)
    number = int("".join(signature.splitlines()[:4]), 16)
    block = pow(number, key.e, key.n).to_bytes(128, "big")
    digest = hashlib.md5(f"<name>{NAME}</name><max_nbytes>1000</max_nbytes>".encode(), usedforsecurity=False).hexdigest()
    assert block == b"\0\1" + b"\xff" * 93 + b"\0" + digest.encode()
