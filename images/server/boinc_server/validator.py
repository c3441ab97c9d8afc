"""The validator: decides which results agree, which one is canonical, and who gets credit.

Rules: sched/validator.cpp (handle_wu) and sched/validate_util2.cpp (check_set, check_pair).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import bindparam, select

from boinc_server import credit, hav, models, plugins
from boinc_server.database import Transaction
from boinc_server.job import Job, Record, is_success, set_not_needed, set_validate_state
from boinc_server.outputs import OutputFile, md5, needs_thread, outputs_of
from boinc_server.states import NEVER, AssimilateState, ErrorMask, Outcome, ServerState, ValidateState

RETRY_DELAY: Final = 6 * 3600
_XML: Final = select(models.result.c.xml_doc_in, models.result.c.stderr_out).where(models.result.c.id == bindparam("id"))


class TransientValidateError(Exception):
    """The validator cannot say now; it is asked again in six hours."""


class InvalidResultError(Exception):
    """The result is no good by itself: outcome becomes VALIDATE_ERROR."""


class Validator(Protocol):
    """What compares results. Files are those the result's file_refs name, in their order.

    A plain object with these two methods is enough; exceptions above say what went wrong.
    """

    def init_result(self, result: Record, files: Sequence[OutputFile]) -> Any:
        """Read what `compare` needs. Raises InvalidResultError or TransientValidateError."""

    def compare(self, first: Any, second: Any) -> bool:
        """True when two results agree, given what `init_result` returned for them."""


class BitwiseValidator:
    """Results agree when all output files have the same bytes (sample_bitwise_validator)."""

    def init_result(self, result: Record, files: Sequence[OutputFile]) -> list[str | None]:  # noqa: ARG002
        sums: list[str | None] = []
        for file in files:
            if file.no_validate:
                continue
            try:
                if needs_thread(file.path):
                    raise plugins.Pending(partial(md5, file.path))
                sums.append(md5(file.path))
            except FileNotFoundError:
                if not file.optional:
                    raise InvalidResultError(f"output file {file.name} is missing") from None
                sums.append(None)
            except OSError as error:
                raise TransientValidateError(str(error)) from error
        return sums

    def compare(self, first: list[str | None], second: list[str | None]) -> bool:
        return first == second


class TrivialValidator:
    """Any result will do (sample_trivial_validator)."""

    def init_result(self, result: Record, files: Sequence[OutputFile]) -> None:  # noqa: ARG002
        return None

    def compare(self, first: None, second: None) -> bool:  # noqa: ARG002
        return True


_validators: dict[str, Validator] = {"bitwise": BitwiseValidator(), "trivial": TrivialValidator()}


def register(name: str, validator: Validator) -> None:
    """Make a validator available to the options `validator` and `validators`."""
    _validators[name] = validator


def known(name: str) -> bool:
    return name in _validators


def validator_for(tx: Transaction, appid: int) -> Validator:
    """The validator of an app. Raises PluginError when there is none of the configured name."""
    config = tx.project.config
    app = tx.project.catalog.app(appid)
    app_name = app.name if app else ""
    scripts = config.script_validators.get(app_name)
    if scripts is not None:
        return plugins.ScriptValidator(tx.project, scripts.init_script, scripts.compare_script)
    name = config.validators.get(app_name, config.validator)
    if name.startswith("python:"):
        made: Validator = plugins.load_python(tx.project, name.removeprefix("python:"))()
        return made
    if name not in _validators:
        raise plugins.PluginError(f"there is no validator {name!r}; known are {', '.join(sorted(_validators))}")
    return _validators[name]


def files_of(tx: Transaction, result: Record) -> list[OutputFile]:
    row = tx.one(_XML, id=result.id)
    return outputs_of(tx.project, row.xml_doc_in) if row else []


class _Checked:
    """A result under comparison with what the validator read of it."""

    __slots__ = ("data", "failed", "result")

    def __init__(self, result: Record) -> None:
        self.result = result
        self.failed = False
        self.data: Any = None


def _init(tx: Transaction, validator: Validator, result: Record) -> _Checked:
    """Raises TransientValidateError; a bad result is marked as such."""
    checked = _Checked(result)
    try:
        checked.data = validator.init_result(result, files_of(tx, result))
    except InvalidResultError as error:
        checked.failed = True
        result.outcome = int(Outcome.VALIDATE_ERROR)
        tx.project.log.info("[RESULT#%d %s] validate error: %s", result.id, result.name, error)
        set_validate_state(tx, result, ValidateState.INVALID)
    return checked


def validate(tx: Transaction, job: Job, validator: Validator) -> None:
    """Check the job's results once and clear need_validate. The caller saves the job."""
    if job.wu.canonical_resultid:
        _check_stragglers(tx, job, validator)
    else:
        _check_quorum(tx, job, validator)
    job.wu.need_validate = 0


def _delay(tx: Transaction, job: Job) -> None:
    job.wu.transition_time = min(job.wu.transition_time, tx.now + RETRY_DELAY)


def _check_stragglers(tx: Transaction, job: Job, validator: Validator) -> None:
    canonical = job.canonical
    if canonical is None:
        return
    for result in job.results:
        if not is_success(result) or result.validate_state not in (ValidateState.INIT, ValidateState.INCONCLUSIVE):
            continue
        try:
            late = _init(tx, validator, result)
            if late.failed:
                continue
            try:
                reference = validator.init_result(canonical, files_of(tx, canonical))
                agrees = validator.compare(late.data, reference)
            except InvalidResultError:
                result.outcome = int(Outcome.VALIDATE_ERROR)
                agrees = False
        except TransientValidateError:
            _delay(tx, job)
            return
        _settle_result(tx, job, result, agrees, canonical.granted_credit)
    job.wu.transition_time = tx.now


def _check_quorum(tx: Transaction, job: Job, validator: Validator) -> None:
    wu = job.wu
    viable = [r for r in job.results if is_success(r) and r.validate_state != ValidateState.INVALID]
    if len(viable) < wu.min_quorum:
        return
    checked = []
    retry = False
    for result in viable:
        try:
            checked.append(_init(tx, validator, result))
        except TransientValidateError:
            retry = True
    good = [c for c in checked if not c.failed]
    if len(good) < len(checked):
        wu.transition_time = tx.now
    chosen: _Checked | None = None
    matches: list[bool] = []
    if len(good) >= wu.min_quorum:
        try:
            chosen, matches = _find_canonical(good, wu.min_quorum // 2 + 1, validator)
        except TransientValidateError:
            retry = True
    if retry:
        _delay(tx, job)
    if chosen is not None:
        valid = [c.result for c, match in zip(good, matches, strict=True) if match]
        amount = credit.amount_for(tx, wu, valid)
        for candidate, match in zip(good, matches, strict=True):
            _settle_result(tx, job, candidate.result, match, amount)
        _set_canonical(tx, job, chosen.result, amount)
        return
    viable_left = [r for r in viable if r.outcome == Outcome.SUCCESS]
    for result in viable_left:
        if result.validate_state == ValidateState.INIT:
            set_validate_state(tx, result, ValidateState.INCONCLUSIVE)
    if len(viable_left) > wu.max_success_results:
        wu.error_mask |= int(ErrorMask.TOO_MANY_SUCCESS_RESULTS)
        wu.transition_time = tx.now
    if len(viable_left) >= wu.target_nresults:
        wu.target_nresults = len(viable_left) + 1
        wu.transition_time = tx.now


def _find_canonical(good: list[_Checked], needed: int, validator: Validator) -> tuple[_Checked | None, list[bool]]:
    """The first result that agrees with a strict majority of the quorum, and who agrees with it."""
    for candidate in good:
        matches = [other is candidate or validator.compare(candidate.data, other.data) for other in good]
        if sum(matches) >= needed:
            return candidate, matches
    return None, []


def _settle_result(tx: Transaction, job: Job, result: Record, valid: bool, amount: float) -> None:
    key = hav.version_key(result.app_version_id, result.appid)
    if not valid:
        set_validate_state(tx, result, ValidateState.INVALID)
        hav.on_invalid(tx, result.hostid, key)
        return
    if result.validate_state == ValidateState.VALID:
        return
    set_validate_state(tx, result, ValidateState.VALID)
    app = tx.project.catalog.app(result.appid)
    unreplicated = job.wu.target_nresults == 1 and app is not None and app.target_nresults > 0
    hav.on_valid(
        tx,
        result.hostid,
        key,
        float(result.received_time - result.sent_time),
        replicated=not unreplicated,
        seconds_per_flop=result.elapsed_time / job.wu.rsc_fpops_est if job.wu.rsc_fpops_est > 0 else 0,
    )
    credit.grant(tx, result, amount)


def _set_canonical(tx: Transaction, job: Job, canonical: Record, amount: float) -> None:
    wu = job.wu
    wu.canonical_resultid = canonical.id
    wu.canonical_credit = amount
    wu.assimilate_state = int(AssimilateState.READY)
    wu.transition_time = NEVER
    tx.emit("job.validated", workunit=wu.id, name=wu.name, result=canonical.id, result_name=canonical.name, credit=amount)
    for result in job.results:
        if result.server_state == ServerState.UNSENT:
            set_not_needed(tx, result)
