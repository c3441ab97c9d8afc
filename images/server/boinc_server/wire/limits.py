"""Upper bounds for everything a stranger can send, in one place.

A real client stays far below each of them; who exceeds one is refused, not served slowly.
"""

from __future__ import annotations

from typing import Final

MAX_SCHEDULER_REQUEST: Final = 32 * 1024 * 1024
"""Bytes of one scheduler request: a thousand results with a full stderr each still fit in less."""
MAX_FORM: Final = 16 * 1024 * 1024
"""Bytes of one web RPC form (submit_rpc_handler.php and friends)."""
MAX_UPLOAD_HEADER: Final = 64 * 1024
"""Bytes before the data of an upload: version lines, the file_info with its signature, sizes."""
MAX_ELEMENTS: Final = 400_000
"""Tags in one scheduler request."""
MAX_RESULTS: Final = 5_000
MAX_OTHER_RESULTS: Final = 20_000
MAX_APP_VERSIONS: Final = 2_000
MAX_FILE_INFOS: Final = 20_000
MAX_ALT_PLATFORMS: Final = 64
MAX_MSGS_FROM_HOST: Final = 1_000
MAX_COPROCS: Final = 64

MAX_STRING: Final = 254
"""Characters of an ordinary text: the width of the database's columns (upstream's buffers have 256 bytes)."""
MAX_LONG_STRING: Final = 1_023
MAX_BLOB: Final = 65_535
"""Characters of stderr and of stored XML (BLOB_SIZE in sched/)."""
MAX_TRICKLE: Final = 262_143
MAX_FILE_NAME: Final = 255
MAX_URL: Final = 2_048
"""Bytes of a request's path plus query."""

MAX_SECONDS: Final = 1e9
"""A CPU or run time beyond this (30 years) is cut to it, so that no credit overflows."""

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
