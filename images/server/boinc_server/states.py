"""BOINC's numbers, by BOINC's names (db/boinc_db_types.h, lib/common_defs.h, lib/error_numbers.h)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

NEVER: Final = 2**31 - 1
"""The transition_time of a workunit that no daemon has to look at any more."""


class ServerState(IntEnum):
    """result.server_state"""

    INACTIVE = 1
    UNSENT = 2
    IN_PROGRESS = 4
    OVER = 5


class Outcome(IntEnum):
    """result.outcome"""

    INIT = 0
    SUCCESS = 1
    COULDNT_SEND = 2
    CLIENT_ERROR = 3
    NO_REPLY = 4
    DIDNT_NEED = 5
    VALIDATE_ERROR = 6
    CLIENT_DETACHED = 7


class ValidateState(IntEnum):
    """result.validate_state"""

    INIT = 0
    VALID = 1
    INVALID = 2
    NO_CHECK = 3
    INCONCLUSIVE = 4
    TOO_LATE = 5


class FileDeleteState(IntEnum):
    """workunit.file_delete_state and result.file_delete_state"""

    INIT = 0
    READY = 1
    DONE = 2
    ERROR = 3


class AssimilateState(IntEnum):
    """workunit.assimilate_state"""

    INIT = 0
    READY = 1
    DONE = 2


class ErrorMask(IntFlag):
    """workunit.error_mask"""

    NONE = 0
    COULDNT_SEND_RESULT = 1
    TOO_MANY_ERROR_RESULTS = 2
    TOO_MANY_SUCCESS_RESULTS = 4
    TOO_MANY_TOTAL_RESULTS = 8
    CANCELLED = 16
    NO_CANONICAL_RESULT = 32


class TransitionerFlags(IntEnum):
    """workunit.transitioner_flags"""

    NORMAL = 0
    NONE = 1
    NO_NEW_RESULTS = 2


class BatchState(IntEnum):
    """batch.state"""

    INIT = 0
    IN_PROGRESS = 1
    COMPLETE = 2
    ABORTED = 3
    RETIRED = 4


class ClientState(IntEnum):
    """result.client_state: the state in which the client reported a result"""

    NEW = 0
    FILES_DOWNLOADING = 1
    FILES_DOWNLOADED = 2
    COMPUTE_ERROR = 3
    FILES_UPLOADING = 4
    FILES_UPLOADED = 5
    ABORTED = 6
    UPLOAD_FAILED = 7


class HomogeneousRedundancy(IntEnum):
    """app.homogeneous_redundancy"""

    NONE = 0
    FINE = 1
    COARSE = 2


class AssignTarget(IntEnum):
    """assignment.target_type"""

    NONE = 0
    HOST = 1
    USER = 2
    TEAM = 3


class AnonymousPlatform(IntEnum):
    """result.app_version_id of a result that ran on an application of the volunteer's own"""

    UNKNOWN = -1
    CPU = -2
    NVIDIA = -3
    ATI = -4
    INTEL = -5
    APPLE = -6


EXIT_ABORTED_BY_PROJECT: Final = 202
EXIT_ABORTED_VIA_GUI: Final = 203

VAL_RESULT_TRANSIENT_ERROR: Final = 3
"""Exit status with which a validator script asks to be called again later (sched/validate_util2.h)."""

COBBLESTONE_SCALE: Final = 200 / 86400e9
"""Credit per floating point operation: 200 credits for a day at 1 GFLOPS."""
