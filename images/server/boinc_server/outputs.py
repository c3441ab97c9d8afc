"""The output files of a result: which there should be, where they lie, what they contain."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boinc_server import crypt, storage

if TYPE_CHECKING:
    from boinc_server.project import Project

_FILE_REF: Final = re.compile(r"<file_ref>(.*?)</file_ref>", re.DOTALL)
_NAME: Final = re.compile(r"<file_name>\s*([^<\s]+)\s*</file_name>")
_OPEN_NAME: Final = re.compile(r"<open_name>\s*([^<]*?)\s*</open_name>")
_OPTIONAL: Final = re.compile(r"<optional\s*/>|<optional>\s*1\s*</optional>")
_NO_VALIDATE: Final = re.compile(r"<no_validate\s*/>|<no_validate>\s*1\s*</no_validate>")

LARGE: Final = 8 * 1024 * 1024
"""Bytes from which on a file is read in a thread."""
_CACHE_SIZE: Final = 10_000
_md5s: OrderedDict[tuple[str, int, int], str] = OrderedDict()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One ``<file_ref>`` of a result."""

    open_name: str
    name: str
    """The physical name."""
    path: Path
    optional: bool
    no_validate: bool


def outputs_of(project: Project, xml_doc_in: str) -> list[OutputFile]:
    """The output files that a result's xml_doc_in names, in its order."""
    files = []
    body = xml_doc_in[xml_doc_in.find("<result>") :] if "<result>" in xml_doc_in else ""
    for ref in _FILE_REF.findall(body):
        name = _NAME.search(ref)
        if name is None:
            continue
        open_name = _OPEN_NAME.search(ref)
        files.append(
            OutputFile(
                open_name.group(1) if open_name else name.group(1),
                name.group(1),
                storage.upload_path(project, name.group(1)),
                bool(_OPTIONAL.search(ref)),
                bool(_NO_VALIDATE.search(ref)),
            )
        )
    return files


def kept_path(project: Project, name: str) -> Path:
    """Where an output lies after the file deleter has taken it out of upload/ (option keep_outputs)."""
    return project.path("outputs", storage.fanout(name, 1024), name)


def open_output(project: Project, file: OutputFile) -> BufferedReader | None:
    """An output opened for reading, None when there is none.

    The file deleter may move it at any moment: an open file stays readable, and what is no longer in the one place is in the other.
    """
    for path in (file.path, kept_path(project, file.name)):
        with contextlib.suppress(FileNotFoundError):
            return path.open("rb")
    return None


def _key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def md5(path: Path) -> str:
    """MD5 of a file, remembered until it changes. Raises OSError."""
    key = _key(path)
    known = _md5s.get(key)
    if known is None:
        known = _md5s[key] = crypt.md5_file(path)
        if len(_md5s) > _CACHE_SIZE:
            _md5s.popitem(last=False)
    return known


def needs_thread(path: Path) -> bool:
    """True when reading the file would hold up the server and nobody has read it yet."""
    try:
        key = _key(path)
    except OSError:
        return False
    return key[1] >= LARGE and key not in _md5s
