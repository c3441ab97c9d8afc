"""The words of a scenario file: durations, sizes, names, paths, contents of files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import TypeAliasType

from harness.labels import HOST_NAME
from harness.scenario.kinds import KINDS
from harness.scenario.problems import nearest

#: what a validator finds under info.context: the folder of the scenario file
FOLDER = "folder"
#: how the tags of a choice begin
TAG = "kind:"
#: files beside a scenario that are larger than this are refused
MAX_FILE = 64 * 1024 * 1024
MAX_SECONDS = 3650 * 86400.0
#: how far a job has come (`harness.jobs.JobState`)
State = Literal["unsent", "sent", "reported", "validated", "assimilated", "error", "cancelled"]
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Model(BaseModel):
    """What all parts of a scenario have in common: unknown fields are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True)


def parse_duration(value: object) -> object:
    """Seconds from `90`, `"90s"`, `"1.5h"`, `"7d"`."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)", value.strip())
        if match is None:
            raise ValueError(f"not a duration: {value!r}; write 90s, 500ms, 5m, 2h or 7d")
        seconds = float(match[1]) * _UNITS[match[2]]
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a duration; write 90s, 500ms, 5m, 2h or 7d")  # noqa: TRY004 - pydantic takes a ValueError
    else:
        seconds = float(value)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"an impossible duration: {value!r}; expected 0 to {MAX_SECONDS / 86400:.0f} days")
    return seconds


def parse_size(value: object) -> object:
    """Bytes from `4096`, `"8MB"`, `"64KiB"`."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMG]?i?B?)", value.strip())
        if match is None or match[2] not in _SIZES:
            raise ValueError(f"not a size: {value!r}; write 4096, 64KiB or 8MB")
        return int(float(match[1]) * _SIZES[match[2]])
    return value


Duration = TypeAliasType(
    "Duration",
    Annotated[
        float,
        BeforeValidator(parse_duration),
        WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|min|m|h|d)$"}]}),
    ],
)
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=0, le=MAX_FILE),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[kKMG]?i?B?$"}]}),
]
#: a name that a scenario gives to a thing of its own
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
HostName = Annotated[str, Field(pattern=f"^{HOST_NAME}$")]
#: the name of an option, preference or column, as BOINC writes it
OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
#: the part of an e-mail address before the @
LocalPart = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Scalar = bool | int | float | str


def _version(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'write the version in quotes ("8.2"): without them YAML reads a number, and 7.20 becomes {value:g}')  # noqa: TRY004
    return value


Version = Annotated[Literal["7.20", "8.0", "8.2"], BeforeValidator(_version)]


def _kind(kind: str) -> str:
    if kind.endswith("."):
        if any(known.startswith(kind) for known in KINDS):
            return kind
    elif kind in KINDS:
        return kind
    raise ValueError(f"no such kind of event: {kind!r}{nearest(kind, KINDS)}")


#: a kind of event ("result.sent"), or the beginning of several ("result.")
EventKind = TypeAliasType("EventKind", Annotated[str, AfterValidator(_kind), WithJsonSchema({"type": "string", "examples": list(KINDS)})])


def _inside(text: str, info: ValidationInfo) -> str:
    """A path of the scenario's own folder that names a plain file; without a folder (schema, tests) only its form is looked at."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in text or "\\" in text:
        raise ValueError(f"a path out of the scenario's folder: {text!r}; expected a file beside the scenario file")
    folder: Path | None = (info.context or {}).get(FOLDER)
    if folder is None:
        return text
    root = folder.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        raise ValueError(f"a path out of the scenario's folder: {text!r} leads to another place")
    if not target.is_file():
        beside = sorted(item.name for item in target.parent.iterdir()) if target.parent.is_dir() else []
        raise ValueError(f"no such file beside the scenario: {text!r}{nearest(path.name, beside)}")
    if target.stat().st_size > MAX_FILE:
        raise ValueError(f"a file larger than {MAX_FILE // 1024**2} MiB: {text!r}")
    return text


FilePath = Annotated[str, AfterValidator(_inside)]


class FileContent(Model):
    """The bytes of a file beside the scenario."""

    file: FilePath

    def read(self, folder: Path) -> bytes:
        return (folder / self.file).read_bytes()


class EncodedContent(Model):
    """Bytes in base64."""

    base64: str

    @model_validator(mode="after")
    def _decodes(self) -> EncodedContent:
        try:
            base64.b64decode(self.base64, validate=True)
        except ValueError as error:
            raise ValueError(f"not base64: {error}") from None
        return self

    def read(self, _folder: Path) -> bytes:
        return base64.b64decode(self.base64)


class RepeatedContent(Model):
    """A text repeated until there are so many bytes."""

    repeat: str = Field(min_length=1, max_length=10_000)
    size: Size

    def read(self, _folder: Path) -> bytes:
        unit = self.repeat.encode()
        return (unit * (self.size // len(unit) + 1))[: self.size]


def tagged(key: str) -> Tag:
    """The tag of one kind of thing that is told from others by a key; error messages leave it out again."""
    return Tag(TAG + key)


def choose(*keys: str, text: str | None = None) -> Callable[[Any], str | None]:
    """A discriminator: the first of `keys` that a mapping (or model) has; a plain text is of kind `text`."""

    def kind(value: Any) -> str | None:
        if text is not None and isinstance(value, str):
            return TAG + text
        if isinstance(value, dict):
            return next((TAG + key for key in keys if key in value), None)
        return next((TAG + key for key in keys if hasattr(value, key)), None)

    return kind


Content = TypeAliasType(
    "Content",
    Annotated[
        Annotated[str, tagged("text")]
        | Annotated[FileContent, tagged("file")]
        | Annotated[EncodedContent, tagged("base64")]
        | Annotated[RepeatedContent, tagged("repeat")],
        Discriminator(
            choose("file", "base64", "repeat", text="text"),
            custom_error_type="content",
            custom_error_message="expected a text, {file: NAME}, {base64: TEXT} or {repeat: TEXT, size: BYTES}",
        ),
    ],
)


def read_content(content: str | FileContent | EncodedContent | RepeatedContent, folder: Path) -> bytes:
    """The bytes that a content stands for."""
    return content.encode() if isinstance(content, str) else content.read(folder)
