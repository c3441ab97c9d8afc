"""What can go wrong between us and a client's GUI RPC port.

Every error names the operation (`op`), the client's address (`address`) and, where there was one, the reply (`reply`, cut to a
readable length in the message but whole in the field).
"""

from __future__ import annotations

from harness.errors import HarnessError
from harness.guirpc.numbers import ErrorNumber

_SHOWN = 2000


class GuiRpcError(HarnessError):
    """A GUI RPC did not do what was asked."""

    def __init__(self, what: str, *, op: str, address: str, reply: str = "", expected: str = "", remedy: str = "") -> None:
        self.op = op
        self.address = address
        self.reply = reply
        super().__init__(
            what,
            thing=f"{op} to the client at {address}",
            expected=expected,
            remedy=remedy,
            details=reply if len(reply) <= _SHOWN else reply[:_SHOWN] + f"\n... ({len(reply)} characters)",
        )


class ConnectFailed(GuiRpcError):
    """Nothing accepts connections there."""


class ConnectionLost(GuiRpcError):
    """The client closed the connection, or it broke, before the reply was complete. Connect again to go on."""


class RpcTimeout(GuiRpcError):
    """The reply did not come in time. The connection is closed, since a late reply would be taken for the next one's."""


class Unauthorized(GuiRpcError):
    """A wrong password, or an operation that needs one on a connection without."""


class BadReply(GuiRpcError):
    """The reply is not what the protocol says: no frame, the wrong element, a field that is no number."""


class RequestTooLarge(GuiRpcError):
    """The client closes the connection on requests of 100000 bytes and more, and cuts files set through it at 64 KiB."""


class RpcRefused(GuiRpcError):
    """The client understood and said no: `<error>TEXT</error>`. `reason` is TEXT."""

    def __init__(self, reason: str, *, op: str, address: str, reply: str = "") -> None:
        self.reason = reason
        super().__init__(f"the client refused: {reason}", op=op, address=address, reply=reply)


class RpcFailed(GuiRpcError):
    """The client tried and failed: a BOINC error number (lib/error_numbers.h) in `error_num`, its messages in `messages`."""

    def __init__(self, error_num: int, *, op: str, address: str, messages: tuple[str, ...] = (), reply: str = "") -> None:
        self.error_num = ErrorNumber(error_num)
        self.messages = messages
        said = f", saying: {'; '.join(messages)}" if messages else ""
        super().__init__(f"failed with BOINC error {error_num} ({self.error_num.name}){said}", op=op, address=address, reply=reply)
