"""File names that strangers send."""

from __future__ import annotations

import re
from typing import Final

from boinc_server.wire import limits

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RESULT_OF_OUTPUT: Final = re.compile(r"(.+)_r[0-9]+_[0-9]+[^/]*\Z")


def is_valid_filename(name: str) -> bool:
    """True for a physical file name (lib/str_util.cpp: is_valid_filename, and stricter).

    Refused beyond upstream's rules: directories, ``%`` and ``\\``, since no file of a project
    has them and the client refuses the first two itself.
    """
    if not name or len(name.encode("utf-8", "replace")) > limits.MAX_FILE_NAME:
        return False
    if ".." in name or name == "." or any(char in name for char in "/\\%"):
        return False
    return not _CONTROL.search(name)


def result_of_output(name: str) -> str:
    """The result that an output file belongs to, by its name ``<result>_r<random>_<index>``; "" if none."""
    match = _RESULT_OF_OUTPUT.match(name)
    return match.group(1) if match else ""
