"""Write standard input as an LZ4 stream that holds literals only.

Stands in for `lz4 -l` in the kernel's build (`make LZ4=...`) and packs the
initramfs.  The legacy container (magic number, then blocks of at most 8 MiB,
each preceded by its packed length) and the block format (a token whose upper
four bits count literals, 15 meaning "and the sum of the following bytes, up to
one below 255") are those of lz4_Frame_format.md and lz4_Block_format.md; a
stream without matches decodes with one memory copy per block, which an
interpreted processor executes as a handful of instructions.
"""

from __future__ import annotations

import struct
import sys

LEGACY_MAGIC = 0x184C2102
BLOCK = 8 << 20


def literal_block(data: bytes) -> bytes:
    """One LZ4 block that decodes to *data*, with no match in it."""
    if len(data) < 15:
        return bytes([len(data) << 4]) + data
    full, rest = divmod(len(data) - 15, 255)
    return b"\xf0" + b"\xff" * full + bytes([rest]) + data


def literal_stream(data: bytes) -> bytes:
    """A legacy LZ4 stream of *data*."""
    parts = [struct.pack("<I", LEGACY_MAGIC)]
    for start in range(0, len(data), BLOCK):
        block = literal_block(data[start : start + BLOCK])
        parts += [struct.pack("<I", len(block)), block]
    return b"".join(parts)


if __name__ == "__main__":
    # The kernel's makefile passes lz4's own options and "- -": nothing here depends on them.
    sys.stdout.buffer.write(literal_stream(sys.stdin.buffer.read()))
