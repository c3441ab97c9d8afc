"""BOINC's numbers by BOINC's names (lib/common_defs.h, lib/error_numbers.h).

A number that this file does not know becomes a member named `UNKNOWN_<n>` with that value, so a newer client's reply still parses.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class BoincEnum(IntEnum):
    """An enum that keeps numbers it does not know."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class ResultState(BoincEnum):
    """How far the client is with a result (RESULT_* in lib/common_defs.h)."""

    NEW = 0
    FILES_DOWNLOADING = 1
    FILES_DOWNLOADED = 2
    COMPUTE_ERROR = 3
    FILES_UPLOADING = 4
    FILES_UPLOADED = 5
    ABORTED = 6
    UPLOAD_FAILED = 7

    @property
    def is_over(self) -> bool:
        """Whether no more computing will be done for it."""
        return self >= ResultState.COMPUTE_ERROR


class ActiveTaskState(BoincEnum):
    """What the process of a task does (PROCESS_* in lib/common_defs.h)."""

    UNINITIALIZED = 0
    EXECUTING = 1
    EXITED = 2
    WAS_SIGNALED = 3
    EXIT_UNKNOWN = 4
    ABORT_PENDING = 5
    ABORTED = 6
    COULDNT_START = 7
    QUIT_PENDING = 8
    SUSPENDED = 9
    COPY_PENDING = 10


class SchedulerState(BoincEnum):
    """What the client's CPU scheduler wants of a task (CPU_SCHED_* in lib/common_defs.h)."""

    UNINITIALIZED = 0
    PREEMPTED = 1
    SCHEDULED = 2


class RunMode(BoincEnum):
    """RUN_MODE_*: for computing, GPUs and network."""

    ALWAYS = 1
    AUTO = 2
    NEVER = 3
    RESTORE = 4


class NetworkStatus(BoincEnum):
    ONLINE = 0
    WANT_CONNECTION = 1
    WANT_DISCONNECT = 2
    LOOKUP_PENDING = 3


class Priority(BoincEnum):
    """How much a message matters (MSG_* in lib/common_defs.h)."""

    INFO = 1
    USER_ALERT = 2
    INTERNAL_ERROR = 3
    SCHEDULER_ALERT = 4


class SuspendReason(BoincEnum):
    """Why nothing runs. One at a time: the powers of two are history."""

    NONE = 0
    BATTERIES = 1
    USER_ACTIVE = 2
    USER_REQ = 4
    TIME_OF_DAY = 8
    BENCHMARKS = 16
    DISK_SIZE = 32
    CPU_THROTTLE = 64
    NO_RECENT_INPUT = 128
    INITIAL_DELAY = 256
    EXCLUSIVE_APP_RUNNING = 512
    CPU_USAGE = 1024
    NETWORK_QUOTA_EXCEEDED = 2048
    OS = 4096
    WIFI_STATE = 4097
    BATTERY_CHARGING = 4098
    BATTERY_OVERHEATED = 4099
    NO_GUI_KEEPALIVE = 4100
    PODMAN_INIT = 4101
    BATTERY_CHARGE_WAIT = 4102
    BATTERY_HEAT_WAIT = 4103


class RpcReason(BoincEnum):
    """Why a scheduler RPC is pending: a project's sched_rpc_pending (RPC_REASON_*)."""

    NONE = 0
    USER_REQ = 1
    RESULTS_DUE = 2
    NEED_WORK = 3
    TRICKLE_UP = 4
    ACCT_MGR_REQ = 5
    INIT = 6
    PROJECT_REQ = 7


class ExitStatus(BoincEnum):
    """Exit statuses that the client itself gives to results (EXIT_*). Others are the application's own."""

    SUCCESS = 0
    STATEFILE_WRITE = 192
    SIGNAL = 193
    ABORTED_BY_CLIENT = 194
    CHILD_FAILED = 195
    DISK_LIMIT_EXCEEDED = 196
    TIME_LIMIT_EXCEEDED = 197
    MEM_LIMIT_EXCEEDED = 198
    CLIENT_EXITING = 199
    UNSTARTED_LATE = 200
    MISSING_COPROC = 201
    ABORTED_BY_PROJECT = 202
    ABORTED_VIA_GUI = 203
    UNKNOWN = 204
    OUT_OF_MEMORY = 205
    INIT_FAILURE = 206
    NO_SUB_TASKS = 207
    SUB_TASK_FAILURE = 208
    OVERDUE_EXCEEDED = 209


class ErrorNumber(BoincEnum):
    """BOINC's error numbers (ERR_* in lib/error_numbers.h), as in error_num and exit_status."""

    SUCCESS = 0
    SELECT = -100
    MALLOC = -101
    READ = -102
    WRITE = -103
    FREAD = -104
    FWRITE = -105
    IO = -106
    CONNECT = -107
    FOPEN = -108
    RENAME = -109
    UNLINK = -110
    OPENDIR = -111
    XML_PARSE = -112
    GETHOSTBYNAME = -113
    GIVEUP_DOWNLOAD = -114
    GIVEUP_UPLOAD = -115
    NULL = -116
    NEG = -117
    BUFFER_OVERFLOW = -118
    MD5_FAILED = -119
    RSA_FAILED = -120
    OPEN = -121
    DUP2 = -122
    NO_SIGNATURE = -123
    THREAD = -124
    SIGNAL_CATCH = -125
    BAD_FORMAT = -126
    UPLOAD_TRANSIENT = -127
    UPLOAD_PERMANENT = -128
    IDLE_PERIOD = -129
    ALREADY_ATTACHED = -130
    FILE_TOO_BIG = -131
    GETRUSAGE = -132
    BENCHMARK_FAILED = -133
    BAD_HEX_FORMAT = -134
    GETADDRINFO = -135
    DB_NOT_FOUND = -136
    DB_NOT_UNIQUE = -137
    DB_CANT_CONNECT = -138
    GETS = -139
    SCANF = -140
    READDIR = -143
    SHMGET = -144
    SHMCTL = -145
    SHMAT = -146
    FORK = -147
    EXEC = -148
    NOT_EXITED = -149
    NOT_IMPLEMENTED = -150
    GETHOSTNAME = -151
    NETOPEN = -152
    SOCKET = -153
    FCNTL = -154
    AUTHENTICATOR = -155
    SCHED_SHMEM = -156
    ASYNCSELECT = -157
    BAD_RESULT_STATE = -158
    DB_CANT_INIT = -159
    NOT_UNIQUE = -160
    NOT_FOUND = -161
    NO_EXIT_STATUS = -162
    FILE_MISSING = -163
    KILL = -164
    SEMGET = -165
    SEMCTL = -166
    SEMOP = -167
    FTOK = -168
    SOCKS_UNKNOWN_FAILURE = -169
    SOCKS_REQUEST_FAILED = -170
    SOCKS_BAD_USER_PASS = -171
    SOCKS_UNKNOWN_SERVER_VERSION = -172
    SOCKS_UNSUPPORTED = -173
    SOCKS_CANT_REACH_HOST = -174
    SOCKS_CONN_REFUSED = -175
    TIMER_INIT = -176
    INVALID_PARAM = -178
    SIGNAL_OP = -179
    BIND = -180
    LISTEN = -181
    TIMEOUT = -182
    PROJECT_DOWN = -183
    HTTP_TRANSIENT = -184
    RESULT_START = -185
    RESULT_DOWNLOAD = -186
    RESULT_UPLOAD = -187
    BAD_USER_NAME = -188
    INVALID_URL = -189
    MAJOR_VERSION = -190
    NO_OPTION = -191
    MKDIR = -192
    INVALID_EVENT = -193
    ALREADY_RUNNING = -194
    NO_APP_VERSION = -195
    WU_USER_RULE = -196
    ABORTED_VIA_GUI = -197
    INSUFFICIENT_RESOURCE = -198
    RETRY = -199
    WRONG_SIZE = -200
    USER_PERMISSION = -201
    SHMEM_NAME = -202
    NO_NETWORK_CONNECTION = -203
    IN_PROGRESS = -204
    BAD_EMAIL_ADDR = -205
    BAD_PASSWD = -206
    NONUNIQUE_EMAIL = -207
    ACCT_CREATION_DISABLED = -208
    ATTACH_FAIL_INIT = -209
    ATTACH_FAIL_DOWNLOAD = -210
    ATTACH_FAIL_PARSE = -211
    ATTACH_FAIL_BAD_KEY = -212
    ATTACH_FAIL_FILE_WRITE = -213
    ATTACH_FAIL_SERVER_ERROR = -214
    SIGNING_KEY = -215
    FFLUSH = -216
    FSYNC = -217
    TRUNCATE = -218
    WRONG_URL = -219
    DUP_NAME = -220
    FILE_WRONG_SIZE = -221
    GETGRNAM = -222
    CHOWN = -223
    HTTP_PERMANENT = -224
    BAD_FILENAME = -225
    TOO_MANY_EXITS = -226
    RMDIR = -227
    SYMLINK = -229
    DB_CONN_LOST = -230
    CRYPTO = -231
    ABORTED_ON_EXIT = -232
    PROC_PARSE = -235
    STATFS = -236
    PIPE = -237
    NEED_HTTPS = -238
    CHMOD = -239
    STAT = -240
    FCLOSE = -241
    ACCT_REQUIRE_CONSENT = -242
    INVALID_STATE = -243
    MMAP = -244
