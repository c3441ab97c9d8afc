"""The scripts that make the guest's media: LZ4 literals, the initramfs, the boot file, hybrid images and VDIs."""

from __future__ import annotations

import importlib.util
import os
import random
import struct
from pathlib import Path
from types import ModuleType

import pytest

GUEST = Path(__file__).resolve().parents[2] / "images" / "guest"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, GUEST / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lz4store = load("lz4store.py")
mkinitramfs = load("mkinitramfs.py")
mkboot = load("boot/mkboot.py")
mkimage = load("boot/mkimage.py")


def decode_block(block: bytes) -> bytes:
    """An LZ4 block of literals only, by lz4_Block_format.md."""
    length, position = block[0] >> 4, 1
    assert block[0] & 15 == 0
    if length == 15:
        while True:
            length += block[position]
            position += 1
            if block[position - 1] != 255:
                break
    assert len(block) == position + length
    return block[position:]


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 269, 270, 271, 65536])
def test_a_block_of_literals_decodes_to_itself(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert decode_block(lz4store.literal_block(data)) == data


def test_a_stream_is_blocks_of_8_mib() -> None:
    data = random.Random(1).randbytes(1000) * (9 << 10)
    stream = lz4store.literal_stream(data)
    assert stream[:4] == bytes.fromhex("02214c18")
    decoded, position = b"", 4
    while position < len(stream):
        (size,) = struct.unpack_from("<I", stream, position)
        decoded += decode_block(stream[position + 4 : position + 4 + size])
        position += 4 + size
    assert decoded == data


def test_the_initramfs_holds_files_links_directories_and_the_console(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_bytes(b"\x7fELF!")
    (tmp_path / "bin/busybox").chmod(0o755)
    (tmp_path / "bin/sh").symlink_to("busybox")
    archive = mkinitramfs.archive(tmp_path)
    members: dict[str, tuple[int, bytes]] = {}
    position = 0
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * n : position + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        assert fields[2:4] == [0, 0]
        assert fields[5] == 0
        name = archive[position + 110 : position + 110 + name_size - 1].decode()
        start = position + (110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        members[name] = (mode, archive[start : start + size])
        position = start + (size + 3) // 4 * 4
    assert members == {
        "bin": (0o040000 | (tmp_path / "bin").stat().st_mode & 0o7777, b""),
        "bin/busybox": (0o100755, b"\x7fELF!"),
        "bin/sh": (0o120777, b"busybox"),
        "dev/console": (0o020600, b""),
    }
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither a file"):
        mkinitramfs.archive(tmp_path)


def fake_kernel(setup_sectors: int = 3, body: int = 5000) -> bytes:
    kernel = bytearray((setup_sectors + 1) * 512 + body)
    kernel[0x1F1] = setup_sectors
    kernel[0x202:0x206] = b"HdrS"
    struct.pack_into("<QI", kernel, 0x258, 0x1000000, 0x123456)
    return bytes(kernel)


def fake_loader() -> bytes:
    return (bytes(64) + b"BOINCBT1").ljust(1024, b"\0") + b"BOINCCMD".ljust(1024, b"\0")


def test_the_boot_file_tells_the_loader_where_all_is() -> None:
    boot = mkboot.boot_file(fake_loader(), fake_kernel(), b"initramfs" * 1000, "quiet acpi=off")
    numbers = struct.unpack_from("<5I", boot, 72)
    assert numbers == (1, 3, 5, 0x1130000, 9000)
    assert boot[1032:].startswith(b"quiet acpi=off\0")
    assert len(boot) == 2048 * (1 + 1 + 3 + 5)
    assert boot[2048 * 5 :].startswith(b"initramfs")


@pytest.mark.parametrize(
    ("loader", "kernel", "command_line", "message"),
    [
        (fake_loader()[:-1], fake_kernel(), "", "loader"),
        (fake_loader().replace(b"BOINCBT1", b"BOINCBT2"), fake_kernel(), "", "loader"),
        (fake_loader(), bytes(4096), "", "HdrS"),
        (fake_loader(), fake_kernel(), "x" * 1016, "command line has 1016 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(loader: bytes, kernel: bytes, command_line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mkboot.boot_file(loader, kernel, b"", command_line)


def fake_iso(block: int) -> bytes:
    iso = bytearray(2048 * (block + 4))
    iso[17 * 2048 : 17 * 2048 + 39] = b"\0CD001\x01EL TORITO SPECIFICATION".ljust(39, b"\0")
    struct.pack_into("<I", iso, 17 * 2048 + 0x47, 19)
    iso[19 * 2048 + 32] = 0x88
    struct.pack_into("<I", iso, 19 * 2048 + 32 + 8, block)
    return bytes(iso)


def test_the_hybrid_image_knows_where_its_loader_is() -> None:
    image = mkimage.hybrid(fake_iso(25), bytes(510) + b"\x55\xaa")
    assert struct.unpack_from("<Q", image, 0x1B0)[0] == 100
    assert image[510:512] == b"\x55\xaa"
    assert image[512:] == fake_iso(25)[512:]
    with pytest.raises(ValueError, match="boot sector"):
        mkimage.hybrid(fake_iso(25), bytes(512))
    with pytest.raises(ValueError, match="El Torito"):
        mkimage.hybrid(bytes(2048 * 30), bytes(510) + b"\x55\xaa")


def test_a_vdi_holds_the_disk_and_no_blocks_of_zeros() -> None:
    mib = 1 << 20
    disk = b"\1" * mib + bytes(mib) + b"\2" * (mib // 2)
    vdi = mkimage.vdi(disk)
    assert struct.unpack_from("<II", vdi, 0x40) == (0xBEDA107F, 0x00010001)
    offset_table, offset_data = struct.unpack_from("<II", vdi, 0x154)
    (size,) = struct.unpack_from("<Q", vdi, 0x170)
    count, allocated = struct.unpack_from("<II", vdi, 0x180)
    assert (size, count, allocated) == (3 * mib, 3, 2)
    table = struct.unpack_from("<3I", vdi, offset_table)
    assert table == (0, 0xFFFFFFFF, 1)
    assert vdi[offset_data : offset_data + mib] == disk[:mib]
    assert vdi[offset_data + mib :] == disk[2 * mib :].ljust(mib, b"\0")
    assert mkimage.vdi(disk) == vdi
