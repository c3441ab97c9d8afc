"""The error a handler of the control interface raises."""

from __future__ import annotations


class ControlError(Exception):
    """A request that cannot be fulfilled.

    Args:
        status: the HTTP status, 4xx.
        kind: one word for programs.
        message: what is wrong, and what would be right.
        field: the field of the request that is wrong.
    """

    def __init__(self, status: int, kind: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.field = field
