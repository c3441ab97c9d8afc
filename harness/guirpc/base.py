"""What the groups of RPCs share: the connection, time limits, replies into models."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from harness.guirpc.build import FieldError, build
from harness.guirpc.errors import BadReply, RpcFailed
from harness.guirpc.nearxml import Node, escape
from harness.guirpc.transport import DEFAULT_TIMEOUT, Connection, Reply
from harness.waiting import Deadline

T = TypeVar("T")

Within = Deadline | float | None


def password_hash(email_addr: str, password: str) -> str:
    """What projects store in place of a password: md5 of the password followed by the lower-cased e-mail address (or name)."""
    return hashlib.md5(f"{password}{email_addr.lower()}".encode(), usedforsecurity=False).hexdigest()


class Base:
    """A connection and the ways to use it."""

    def __init__(self, connection: Connection, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.connection = connection
        self.timeout = timeout

    def call(self, op: str, arguments: str = "", *, within: Within = None) -> Reply:
        """Any RPC by name, with `arguments` as XML text."""
        return self.connection.call(op, arguments, within=self.timeout if within is None else within)

    def _do(self, op: str, arguments: str = "", *, within: Within = None) -> None:
        """An RPC that answers `<success/>`, or `<status>N</status>` with an error number."""
        reply = self.call(op, arguments, within=within)
        status = reply.root.find("status")
        if status is not None:
            raise RpcFailed(int(status.text or -1), op=op, address=reply.address, reply=reply.text)
        reply.element("success")

    def _read(self, model: type[T], op: str, tag: str, arguments: str = "", *, within: Within = None) -> T:
        reply = self.call(op, arguments, within=within)
        return self._build(model, reply, reply.element(tag))

    def _read_all(self, model: type[T], op: str, tags: tuple[str, str], arguments: str = "", *, within: Within = None) -> tuple[T, ...]:
        """The elements `tags[1]` in `tags[0]`."""
        reply = self.call(op, arguments, within=within)
        return tuple(self._build(model, reply, node) for node in reply.element(tags[0]).all(tags[1]))

    def _build(self, model: type[T], reply: Reply, node: Node) -> T:
        try:
            return build(model, node)
        except FieldError as error:
            raise BadReply(
                f"the reply has an element that makes no sense: <{error.tag}> is {error.text[:80]!r}",
                op=reply.op,
                address=reply.address,
                reply=reply.text,
                expected=error.expected,
            ) from error


def elements(**values: str | int | float | bool | None) -> str:
    """Arguments of an RPC: `<name>value</name>` lines, text escaped; true is `<name/>`, false and None are left out."""
    lines = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        lines.append(f"<{name}/>" if value is True else f"<{name}>{escape(str(value))}</{name}>")
    return "\n".join(lines)
