"""The kinds of events that a history can hold: what a scenario file may wait for and expect."""

from __future__ import annotations

from typing import Final

SERVER_KINDS: Final = (
    "account.created",
    "account.error",
    "account.mail",
    "account.password",
    "account.verified",
    "credit.granted",
    "download.done",
    "download.failed",
    "host.created",
    "http.error",
    "job.assimilated",
    "job.cancelled",
    "job.created",
    "job.error",
    "job.files_deleted",
    "job.validated",
    "mail.failed",
    "mail.sent",
    "result.created",
    "result.detached",
    "result.inconclusive",
    "result.invalid",
    "result.no_check",
    "result.not_needed",
    "result.reported",
    "result.resent",
    "result.sent",
    "result.timed_out",
    "result.too_late",
    "result.valid",
    "rpc.scheduler",
    "trickle.down",
    "trickle.up",
    "upload.done",
    "upload.failed",
    "validator.deferred",
)
CLIENT_KINDS: Final = (
    "client.attached",
    "client.message",
    "client.started",
    "client.stopped",
    "task.state",
    "transfer.state",
    "vm.state",
)
OTHER_KINDS: Final = (
    "clock.rate",
    "clock.skipped",
    "fault.healed",
    "fault.injected",
    "http.exchange",
    "http.fault",
    "mail.received",
    "scenario.configured",
    "scenario.submitted",
    "step.done",
)
KINDS: Final = tuple(sorted((*SERVER_KINDS, *CLIENT_KINDS, *OTHER_KINDS)))
