"""A host's data directory: full, read-only, damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness import containers
from harness.errors import UsageError
from harness.faults.base import Fault, nothing

if TYPE_CHECKING:
    from harness.client import Client
    from harness.stack import Stack

_FILLER = ".disk-is-full"
#: ways to damage a file
DAMAGES = ("empty", "truncate", "garbage", "flip", "remove")


class StorageFaults:
    """Part of `Faults`."""

    stack: Stack
    add: Callable[..., Fault]

    def fill_disk(self, client: Client, *, leave_kb: int = 0) -> Fault:
        """Fill the disk that a host's data directory is on, but for `leave_kb`.

        The client needs a disk of its own: `stack.client(disk_mb=64)`. One that cannot even write its state file ends.
        """
        if not client.disk_mb:
            raise UsageError(
                "a client without a disk of its own",
                thing=client.name,
                expected="a small disk that can be filled: filling the engine's would hurt everybody",
                remedy="stack.client(disk_mb=64)",
            )
        filler = f"{client.DATA_DIRECTORY}/{_FILLER}"
        client.exec(["sh", "-c", f"cat /dev/zero > {filler}; truncate -s -{int(leave_kb)}K {filler}"], check=False)

        def heal() -> None:
            if client.is_running:
                client.container.reload()
                if client.container.status == "running":  # else its disk went with it, as it does if the client has ended by itself
                    client.exec(["rm", "-f", filler])

        return self.add("disk full", client.name, heal, leave_kb=leave_kb)

    def make_read_only(self, client: Client) -> Fault:
        """Take the right to write in its data directory from the client: nothing can be made, replaced or removed there."""
        find = f"find {client.DATA_DIRECTORY} -type d"
        client.exec(["sh", "-c", f"{find} -exec chmod u-w {{}} +"])
        return self.add("read-only", client.name, lambda: client.exec(["sh", "-c", f"{find} -exec chmod u+w {{}} +"]) and None)

    def damage(self, client: Client, path: str, how: str = "truncate", *, at: int | None = None) -> Fault:
        """Damage a file of the data directory (of a stopped client, too, except for "remove"): `path` is relative to it.

        "empty" and "remove" say what they do; "truncate" keeps the first `at` bytes (default: half), "flip" changes the byte at
        `at` (default: the middle one), "garbage" overwrites the whole with noise. What was damaged is the client's to get over.
        """
        if how not in DAMAGES:
            raise UsageError("unknown kind of damage", thing=how, expected=f"one of {', '.join(DAMAGES)}")
        if how == "remove":
            if not client.is_running:
                raise UsageError("a file of a stopped client cannot be removed", thing=path, expected="a running client, or another damage")
            client.exec(["rm", "-f", f"{client.DATA_DIRECTORY}/{path}"])
        else:
            where = f"{client.DATA_DIRECTORY}/{path}"
            content = containers.read_file(client.container, where)
            containers.write_file(client.container, where, damaged(content, how, at), owner=client.USER_ID)
        return self.add("damage", client.name, nothing, path=path, how=how)

    def lose_slot(self, client: Client, slot: int) -> Fault:
        """Empty a slot directory, as an over-eager cleaner does."""
        client.exec(["sh", "-c", f"rm -rf {client.DATA_DIRECTORY}/slots/{int(slot)}/*"])
        return self.add("slot lost", client.name, nothing, slot=slot)


def damaged(content: bytes, how: str, at: int | None = None) -> bytes:
    """`content` after the damage (see `StorageFaults.damage`)."""
    middle = len(content) // 2 if at is None else at
    match how:
        case "empty":
            return b""
        case "truncate":
            return content[:middle]
        case "flip":
            return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 1]) + content[middle + 1 :]
        case _:
            return bytes((number * 167 + 13) % 256 for number in range(max(1, len(content))))
