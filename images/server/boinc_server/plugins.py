"""Validators and assimilators of the project's own: scripts and Python files in the project's bin/.

Scripts follow the conventions of sched/script_validator.cpp and sched/script_assimilator.cpp. Whatever takes time
(a script, reading a large file) is not done inside a transaction: it is announced by raising `Pending`, done in a
thread, and the workunit is looked at again with the answer at hand.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from boinc_server.states import VAL_RESULT_TRANSIENT_ERROR

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.job import Job, Record
    from boinc_server.outputs import OutputFile
    from boinc_server.project import Project

SCRIPT_TIMEOUT: Final = 300.0
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_KEPT_ANSWERS: Final = 10_000


def is_script_name(name: str) -> bool:
    """Whether `name` can be that of a file directly in bin/."""
    return _FILE.match(name) is not None


class Pending(Exception):
    """An answer is needed that takes time: call `work` in a thread, then try again."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__("something has to be computed first")
        self.work = work


class PluginError(Exception):
    """A script or Python file of the project cannot be used."""


class Scripts:
    """Runs the scripts of a project; remembers exit statuses until they are used."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._answers: OrderedDict[tuple[object, ...], int] = OrderedDict()

    def status(self, key: tuple[object, ...], command: Sequence[str]) -> int:
        """The exit status of a command, asked for by `key`. Raises Pending until it has run."""
        known = self._answers.get(key)
        if known is None:
            raise Pending(lambda: self._run(key, command))
        return known

    def forget(self, key: tuple[object, ...]) -> None:
        """The next question of that key runs the script again."""
        self._answers.pop(key, None)

    def _run(self, key: tuple[object, ...], command: Sequence[str]) -> None:
        log = self._project.log
        name = command[0]
        if not _FILE.match(name):
            raise PluginError(f"{name!r} is no name of a script in bin/")
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": str(self._project.root)}
        try:
            done = subprocess.run(
                [str(self._project.path("bin", name)), *command[1:]],
                cwd=self._project.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SCRIPT_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            log.warning("bin/%s did not end within %g s", name, SCRIPT_TIMEOUT)
            status = -1
        except OSError as error:
            raise PluginError(f"cannot run bin/{name}: {error.strerror}") from error
        else:
            status = done.returncode
            if status:
                tail = done.stderr[-1000:].decode("utf-8", "replace").strip()
                log.info("bin/%s returned %d%s", " ".join(command), status, f": {tail}" if tail else "")
        self._answers[key] = status
        if len(self._answers) > _KEPT_ANSWERS:
            self._answers.popitem(last=False)


def _arguments(words: Sequence[str], values: dict[str, list[str]]) -> list[str]:
    """Replace keywords by their values; other words are ignored, as upstream."""
    return [value for word in words for value in values.get(word, [])]


class ScriptValidator:
    """script_validator: ``--init_script`` and ``--compare_script``, each "NAME KEYWORD..." or empty."""

    def __init__(self, project: Project, init_script: str, compare_script: str) -> None:
        self._scripts = project.scripts
        self._init = init_script.split()
        self._compare = compare_script.split()

    def init_result(self, result: Record, files: Sequence[OutputFile]) -> tuple[Record, Sequence[OutputFile]]:
        if self._init:
            words = self._init[1:] or ["files"]
            values = {
                "files": [str(f.path) for f in files],
                "result_id": [str(result.id)],
                "runtime": [f"{result.elapsed_time:f}"],
            }
            status = self._ask(("init", result.id), [self._init[0], *_arguments(words, values)])
            if status:
                from boinc_server.validator import InvalidResultError  # noqa: PLC0415 - it imports us

                raise InvalidResultError(f"{self._init[0]} returned {status}")
        return result, files

    def compare(self, first: tuple[Record, Sequence[OutputFile]], second: tuple[Record, Sequence[OutputFile]]) -> bool:
        if not self._compare:
            return True
        words = self._compare[1:] or ["files", "files2"]
        values: dict[str, list[str]] = {}
        for suffix, (result, files) in (("", first), ("2", second)):
            values[f"files{suffix}"] = [str(f.path) for f in files]
            values[f"result_id{suffix}"] = [str(result.id)]
            values[f"runtime{suffix}"] = [f"{result.elapsed_time:f}"]
        key = ("compare", first[0].id, second[0].id)
        return self._ask(key, [self._compare[0], *_arguments(words, values)]) == 0

    def _ask(self, key: tuple[object, ...], command: list[str]) -> int:
        status = self._scripts.status(key, command)
        if status == VAL_RESULT_TRANSIENT_ERROR:
            self._scripts.forget(key)
            from boinc_server.validator import TransientValidateError  # noqa: PLC0415 - it imports us

            raise TransientValidateError(f"{command[0]} cannot say now")
        return status


def run_assimilator_script(tx: Transaction, job: Job, script: str, files: Sequence[OutputFile]) -> bool:
    """script_assimilator: False when the script failed and has to be tried again. Raises Pending."""
    wu, words = job.wu, script.split()
    canonical = job.canonical
    if canonical is not None:
        values = {
            "files": [str(f.path) for f in files],
            "files2": [text for f in files for text in (str(f.path), f.open_name)],
            "wu_id": [str(wu.id)],
            "wu_name": [wu.name],
            "result_id": [str(canonical.id)],
            "runtime": [f"{canonical.elapsed_time:f}"],
            "batch_id": [str(wu.batch)],
        }
        command = [words[0], *_arguments(words[1:] or ["wu_id", "files"], values)]
    else:
        command = [words[0], "--error", str(wu.error_mask), wu.name, str(wu.id), str(wu.batch)]
    key = ("assimilate", wu.id)
    status = tx.project.scripts.status(key, command)
    # Asked once more only when it failed, or after a restart.
    if status:
        tx.project.scripts.forget(key)
    return status == 0


def load_python(project: Project, spec: str) -> Any:
    """What ``FILE:NAME`` names in the project's bin/. Raises PluginError."""
    file, _, name = spec.partition(":")
    path = project.path("bin", file)
    if not _FILE.match(file) or not name.isidentifier():
        raise PluginError(f"{spec!r} is not FILE.py:NAME")
    module_spec = importlib.util.spec_from_file_location(f"boinc_server_plugin_{project.name}_{path.stem}", path)
    if module_spec is None or module_spec.loader is None or not path.is_file():
        raise PluginError(f"there is no Python file bin/{file}")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        return getattr(module, name)
    except Exception as error:
        raise PluginError(f"bin/{file}: {type(error).__name__}: {error}") from error
