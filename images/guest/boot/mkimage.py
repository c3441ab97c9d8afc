"""Make a bootable ISO image also bootable as a hard disk, and write it as a VDI too.

    mkimage.py ISO MBR VDI

The ISO's system area (its first 32 KiB, free for such use) gets the boot sector with
the place of the El Torito boot file in it.  The VDI holds the same bytes: the guest
finds the same ISO 9660 file system on /dev/sr0 or on the whole of /dev/sda.

El Torito: "El Torito" Bootable CD-ROM Format Specification 1.0; VDI 1.1: VirtualBox,
VDICore.h.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path

CD_BLOCK = 2048
SECTOR = 512
LOADER_SECTOR_OFFSET = 0x1B0  # mbr.S
VDI_BLOCK = 1 << 20
VDI_DATA = 1 << 20
VDI_HEADER_BYTES = 400
UNALLOCATED = 0xFFFFFFFF


def boot_file_block(iso: bytes) -> int:
    """The first 2 KiB block of the El Torito boot file."""
    record = iso[17 * CD_BLOCK : 18 * CD_BLOCK]
    if record[1:6] != b"CD001" or not record[7:].startswith(b"EL TORITO SPECIFICATION"):
        raise ValueError("the ISO image has no El Torito boot record")
    (catalogue,) = struct.unpack_from("<I", record, 0x47)
    entry = iso[catalogue * CD_BLOCK + 32 : catalogue * CD_BLOCK + 64]
    if entry[0] != 0x88 or entry[1] != 0:
        raise ValueError("the ISO image's default boot entry is not bootable without emulation")
    return int(struct.unpack_from("<I", entry, 8)[0])


def hybrid(iso: bytes, mbr: bytes) -> bytes:
    """*iso* with *mbr* in its first sector."""
    if len(mbr) != SECTOR or mbr[510:] != b"\x55\xaa":
        raise ValueError("the boot sector is not 512 bytes that end in 55 aa")
    sector = bytearray(mbr)
    struct.pack_into("<Q", sector, LOADER_SECTOR_OFFSET, boot_file_block(iso) * CD_BLOCK // SECTOR)
    return bytes(sector) + iso[SECTOR:]


def vdi(disk: bytes) -> bytes:
    """A dynamically allocated VDI 1.1 that holds *disk*; blocks of zeros take no room."""
    blocks = [disk[start : start + VDI_BLOCK] for start in range(0, len(disk), VDI_BLOCK)]
    table: list[int] = []
    data = bytearray()
    for block in blocks:
        if any(block):
            table.append(len(data) // VDI_BLOCK)
            data += block + bytes(VDI_BLOCK - len(block))
        else:
            table.append(UNALLOCATED)
    size = len(blocks) * VDI_BLOCK
    digest = hashlib.sha256(disk).digest()  # the same content has the same UUIDs
    header = struct.pack(
        "<64sIIIII256sIIIIIIIQIIII16s16s16s16sIIII",
        b"<<< Oracle VM VirtualBox Disk Image >>>\n",
        0xBEDA107F,
        0x00010001,
        VDI_HEADER_BYTES,
        1,  # dynamic
        0,
        b"boinc-guest",
        SECTOR,  # the block table's offset
        VDI_DATA,
        0,
        0,
        0,
        SECTOR,
        0,
        size,
        VDI_BLOCK,
        0,
        len(blocks),
        len(data) // VDI_BLOCK,
        digest[:16],
        digest[16:],
        bytes(16),
        bytes(16),
        0,
        0,
        0,
        SECTOR,  # VirtualBox takes a geometry without it for no VDI at all
    )
    if SECTOR + 4 * len(table) > VDI_DATA:
        raise ValueError(f"a disk of {size} bytes needs a larger block table than this writer makes")
    body = header.ljust(SECTOR, b"\0") + struct.pack(f"<{len(table)}I", *table)
    return body.ljust(VDI_DATA, b"\0") + bytes(data)


if __name__ == "__main__":
    iso_path, mbr_path, vdi_path = (Path(argument) for argument in sys.argv[1:])
    image = hybrid(iso_path.read_bytes(), mbr_path.read_bytes())
    iso_path.write_bytes(image)
    vdi_path.write_bytes(vdi(image))
