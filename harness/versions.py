"""The client generations, and which Debian suite each one comes from."""

from __future__ import annotations

import enum

from harness.errors import UsageError


class ClientVersion(enum.Enum):
    """A generation of BOINC's client. `value` is the name people use, `suite` the Debian suite that packages it."""

    V7_20 = "7.20"
    V8_0 = "8.0"
    V8_2 = "8.2"

    @property
    def suite(self) -> str:
        return _SUITES[self]

    @classmethod
    def of(cls, text: str) -> ClientVersion:
        """From what a person writes: "8.2", "8.2.15" or the suite's name."""
        for version in cls:
            if text in (version.value, version.suite) or text.startswith(f"{version.value}."):
                return version
        raise UnknownClientVersion(text)

    def __str__(self) -> str:
        return self.value


_SUITES = {ClientVersion.V7_20: "bookworm", ClientVersion.V8_0: "trixie", ClientVersion.V8_2: "sid"}
NEWEST = ClientVersion.V8_2


class UnknownClientVersion(UsageError):
    """A client version that there is no image for. Field: `version`."""

    def __init__(self, version: str) -> None:
        self.version = version
        known = ", ".join(f"{known.value} (Debian {known.suite})" for known in ClientVersion)
        super().__init__("unknown client version", thing=repr(version), expected=f"one of {known}, or all")


def parse_versions(text: str) -> list[ClientVersion]:
    """From an option's value: a comma-separated list, or "all"."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UnknownClientVersion(text)
    if "all" in words:
        return list(ClientVersion)
    return list(dict.fromkeys(ClientVersion.of(word) for word in words))
