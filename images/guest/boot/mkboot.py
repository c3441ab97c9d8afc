"""Join the loader, a bzImage and an initramfs into the boot file that loader.S reads.

    mkboot.py LOADER BZIMAGE INITRAMFS OUTPUT COMMAND-LINE...

Offsets in the bzImage: Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol".
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

BLOCK = 2048
MAGIC = b"BOINCBT1"  # loader.S: five 32-bit numbers follow
COMMAND_LINE_MAGIC = b"BOINCCMD"
COMMAND_LINE_BYTES = 1024 - len(COMMAND_LINE_MAGIC)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def boot_file(loader: bytes, kernel: bytes, initramfs: bytes, command_line: str) -> bytes:
    """The boot file; ValueError says which part does not fit the protocol."""
    if len(loader) != BLOCK or loader.count(MAGIC) != 1 or loader.count(COMMAND_LINE_MAGIC) != 1:
        raise ValueError(f"the loader must be {BLOCK} bytes with one {MAGIC!r} and one {COMMAND_LINE_MAGIC!r}")
    if kernel[0x202:0x206] != b"HdrS":
        raise ValueError("the kernel is no bzImage: no HdrS at 0x202")
    encoded = command_line.encode("ascii")
    if len(encoded) >= COMMAND_LINE_BYTES:
        raise ValueError(f"the command line has {len(encoded)} bytes, the loader has room for {COMMAND_LINE_BYTES - 1}")
    setup_bytes = ((kernel[0x1F1] or 4) + 1) * 512
    preferred_address, init_size = struct.unpack_from("<QI", kernel, 0x258)
    # Above all that the kernel uses before it has read its memory map.
    initramfs_address = (preferred_address + init_size + 0xFFFF) & ~0xFFFF
    setup, protected = padded(kernel[:setup_bytes]), padded(kernel[setup_bytes:])
    numbers = (
        len(setup) // BLOCK,
        len(protected) // BLOCK,
        len(padded(initramfs)) // BLOCK,
        initramfs_address,
        len(initramfs),
    )
    head = bytearray(loader)
    struct.pack_into("<5I", head, loader.index(MAGIC) + len(MAGIC), *numbers)
    start = loader.index(COMMAND_LINE_MAGIC) + len(COMMAND_LINE_MAGIC)
    head[start : start + len(encoded) + 1] = encoded + b"\0"
    return bytes(head) + setup + protected + padded(initramfs)


if __name__ == "__main__":
    loader_path, kernel_path, initramfs_path, output_path, *words = sys.argv[1:]
    Path(output_path).write_bytes(
        boot_file(
            Path(loader_path).read_bytes(),
            Path(kernel_path).read_bytes(),
            Path(initramfs_path).read_bytes(),
            " ".join(words),
        )
    )
