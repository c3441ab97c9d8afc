"""Write a directory as an initramfs: a newc cpio archive with no times, owners or inode numbers of the build in it.

    mkinitramfs.py DIRECTORY > ARCHIVE

Adds /dev/console, which the kernel opens for /init before anything is mounted.
Format: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def member(number: int, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One archive member."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(root: Path) -> bytes:
    """The archive of everything below *root*, in name order."""
    parts = []
    for number, path in enumerate(sorted(root.rglob("*")), start=1):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            data = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            data = path.read_bytes()
        elif stat.S_ISDIR(mode):
            data = b""
        else:
            raise ValueError(f"{path} is neither a file, a directory nor a link")
        parts.append(member(number, str(path.relative_to(root)), mode, data))
    parts.append(member(len(parts) + 1, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    parts.append(member(0, "TRAILER!!!", 0))
    return b"".join(parts)


if __name__ == "__main__":
    sys.stdout.buffer.write(archive(Path(sys.argv[1])))
