"""Errors of the host side.

Every error the harness raises on purpose is a `HarnessError`: it carries its facts in fields (so that reports and tests can read
them) and renders them into one message that says what happened, to which thing, what was expected, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class HarnessError(Exception):
    """Something the harness was asked to do and could not.

    Fields, all plain text:
        what      what happened ("the container engine does not answer")
        thing     to which thing ("unix:///var/run/docker.sock"); empty if `what` already says it
        expected  what was expected instead ("a reply to ping within 5 s"); may be empty
        remedy    what a person can do about it ("start it: ./run"); may be empty
        details   further lines that help (the last lines of a log); printed below the message, never needed to understand it
    """

    #: exit code of the `harness` command when this error ends it (sysexits.h: 70 = software, 69 = a service is unavailable, 64 = usage)
    exit_code: ClassVar[int] = 70

    def __init__(
        self,
        what: str,
        *,
        thing: str = "",
        expected: str = "",
        remedy: str = "",
        details: str = "",
    ) -> None:
        self.what = what
        self.thing = thing
        self.expected = expected
        self.remedy = remedy
        self.details = details
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The rendered message: one line for each field that is set, the first one readable alone."""
        first = f"{self.what}: {self.thing}" if self.thing else self.what
        lines = [first]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  to do:    {self.remedy}")
        if self.details:
            lines.extend(f"  | {line}" for line in self.details.rstrip().splitlines())
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.message


class UsageError(HarnessError):
    """A person gave a wrong option, name or file; nothing was started."""

    exit_code = 64


class EngineUnavailable(HarnessError):
    """No container engine answers, or the one that did stopped answering."""

    exit_code = 69


class ImageBuildFailed(HarnessError):
    """An image could not be built; `details` holds the last lines of the build."""

    exit_code = 69


class ImageUnknown(UsageError):
    """An image name or variant that is not registered."""


class PortTaken(HarnessError):
    """A port that was asked for by number is in use."""

    exit_code = 69
