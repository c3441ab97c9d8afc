"""What the control interface takes: strict bodies, so that a wrong field is named and not ignored."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from boinc_server.clock import ClockSpec
from boinc_server.work import WorkOptions


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _decode(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"not base64: {error}") from error


Base64 = Annotated[bytes, BeforeValidator(_decode)]
"""Bytes, sent as base64 without anything else in between."""
ClockList = Annotated[list[float], Field(min_length=3, max_length=3)]


class NewProject(Body):
    name: str
    long_name: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    clock: ClockList | None = None
    apps: list[str] = Field(default_factory=list)
    """Sample applications to install."""


class NewClock(Body):
    clock: ClockList

    def spec(self) -> ClockSpec:
        return ClockSpec(*self.clock)


class NewApp(BaseModel):
    """Further fields are columns of the table app."""

    model_config = ConfigDict(extra="allow")

    name: str
    sample: bool = False


class NewUser(Body):
    email: str
    password: str
    name: str = ""


class InlineFile(Body):
    """An input file by content; staged under `name`, or under a name made from the content."""

    name: str | None = None
    content_b64: Base64


class RemoteFile(Body):
    """An input file that clients fetch elsewhere (--remote_file)."""

    url: str
    nbytes: float
    md5: str


class NewWork(Body):
    app: str
    name: str | None = None
    inputs: list[str | InlineFile | RemoteFile] = Field(default_factory=list)
    command_line: str = ""
    options: WorkOptions = Field(default_factory=WorkOptions)
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class MergeHost(Body):
    """The other record of the same computer."""

    other: int


class NewMessage(Body):
    """A trickle-down or other message for a host (msg_to_host)."""

    host: int
    variety: str
    xml: str
