"""An end-to-end test harness for BOINC: a project server, a mail sink and volunteers with real clients, in containers."""

from harness.errors import HarnessError, UsageError
from harness.history import Event, History, WaitFailed
from harness.jobs import ErrorMask, Job, JobState, Outcome, Result, ServerState, ValidateState
from harness.versions import ClientVersion
from harness.waiting import Deadline, WaitTimeout, wait_until

__all__ = [
    "ClientVersion",
    "Deadline",
    "ErrorMask",
    "Event",
    "HarnessError",
    "History",
    "Job",
    "JobState",
    "Outcome",
    "Result",
    "ServerState",
    "UsageError",
    "ValidateState",
    "WaitFailed",
    "WaitTimeout",
    "wait_until",
]
