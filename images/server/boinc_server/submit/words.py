"""How the web interfaces name the state of a result (html/inc/result.inc: state_string)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boinc_server.states import Outcome, ServerState, ValidateState

if TYPE_CHECKING:
    from boinc_server.database import AnyRow

STATES: Final = {ServerState.INACTIVE: "Inactive", ServerState.UNSENT: "Unsent", ServerState.IN_PROGRESS: "In progress"}
VALIDITY: Final = {
    ValidateState.INIT: "Completed, waiting for validation",
    ValidateState.VALID: "Completed and validated",
    ValidateState.INVALID: "Completed, marked as invalid",
    ValidateState.NO_CHECK: "Completed, can't validate",
    ValidateState.INCONCLUSIVE: "Completed, validation inconclusive",
    ValidateState.TOO_LATE: "Completed, too late to validate",
}
OUTCOMES: Final = {
    Outcome.COULDNT_SEND: "Couldn't send",
    Outcome.NO_REPLY: "Timed out - no response",
    Outcome.DIDNT_NEED: "Didn't need",
    Outcome.VALIDATE_ERROR: "Validate error",
    Outcome.CLIENT_DETACHED: "Abandoned",
}


def state_string(result: AnyRow) -> str:
    """The state in words."""
    if result.server_state != ServerState.OVER:
        return STATES.get(result.server_state, "Unknown")
    if result.outcome == Outcome.SUCCESS:
        return VALIDITY.get(result.validate_state, "Completed")
    if result.outcome == Outcome.CLIENT_ERROR:
        if result.exit_status in {-221, 202}:
            return "Cancelled by server"
        if result.exit_status in {-233, 200}:
            return "Not started by deadline - canceled"
        if result.exit_status in {-197, 203}:
            return "Aborted"
        return "Error while computing" if result.client_state == 3 else "Error while downloading or uploading"
    return OUTCOMES.get(result.outcome, "Unknown")
