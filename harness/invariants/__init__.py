"""What must hold of every scenario's history, whatever the scenario was about.

The plugin checks these at the end of each scenario that passed so far; a violation fails it. One that a scenario breaks on
purpose is switched off by name with `@pytest.mark.invariant_off("name", "reason")`, or in a file with `invariants_off`.
"""

from harness.invariants.base import Invariant, InvariantViolated, Violation, World, check
from harness.invariants.final import CreditSums, JobsEnd, OneCanonicalResult, UploadsByteForByte
from harness.invariants.histories import (
    AssimilatedOnce,
    CreditGrantedOnce,
    DeadlinesHold,
    FaultsHealed,
    JobStates,
    LogOrder,
    MailsOnce,
    ResultStates,
    TaskStates,
)

ALL: tuple[Invariant, ...] = (
    ResultStates(),
    JobStates(),
    AssimilatedOnce(),
    CreditGrantedOnce(),
    TaskStates(),
    MailsOnce(),
    LogOrder(),
    DeadlinesHold(),
    FaultsHealed(),
    OneCanonicalResult(),
    CreditSums(),
    UploadsByteForByte(),
    JobsEnd(),
)
INVARIANTS = {invariant.name: invariant for invariant in ALL}

__all__ = ["ALL", "INVARIANTS", "Invariant", "InvariantViolated", "Violation", "World", "check"]
