"""Jobs by bin/create_work: the script that makes them, from what `Project.submit` is given."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

#: create_work's options that take a value (tools/create_work.cpp); what it takes beyond them needs no value or is made otherwise
OPTIONS: Final = frozenset(
    {
        *("app_version_num", "batch", "credit", "delay_bound", "hr_class", "keywords", "priority", "size_class", "sub_appname"),
        *("max_error_results", "max_success_results", "max_total_results", "min_quorum", "target_nresults"),
        *("rsc_disk_bound", "rsc_fpops_bound", "rsc_fpops_est", "rsc_memory_bound"),
        *("target_host", "target_team", "target_user", "broadcast_user", "broadcast_team"),
    }
)
#: create_work's options without a value
FLAGS: Final = frozenset({"broadcast"})
#: options that an input template may hold, and would be the ones that count (tools/process_input_template.cpp)
_IN_TEMPLATES: Final = OPTIONS & {
    *("batch", "delay_bound", "max_error_results", "max_success_results", "max_total_results", "min_quorum", "target_nresults"),
    *("rsc_disk_bound", "rsc_fpops_bound", "rsc_fpops_est", "rsc_memory_bound", "size_class"),
}
#: where files are put before they are staged, below the project's folder
STAGING: Final = "harness_staging"
#: put them where the project's downloads are; bin/stage_file would do the same, but has not worked in BOINC since April 2026
_STAGE: Final = f'for file in {STAGING}/*; do cp -n "$file" "$(bin/dir_hier_path "${{file##*/}}")"; done; rm -r {STAGING}'


@dataclass(frozen=True, slots=True)
class Request:
    """One job to be made. `files`: physical name -> content, in the order of the input template."""

    app: str
    name: str
    files: Mapping[str, bytes]
    command_line: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    def command(self) -> str:
        """The create_work command that makes it."""
        words = ["bin/create_work", "--appname", self.app, "--wu_name", self.name]
        if self.command_line:
            words += ["--command_line", self.command_line]
        for option, template in self.templates.items():
            words += [f"--{option}", template]
        for option, value in self.options.items():
            if option in FLAGS:
                words += [f"--{option}"] if value else []
            elif value is not None:
                words += [f"--{option}", _plain(value)]
        return shlex.join([*words, *self.files])


def _plain(value: object) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(int(value)) if isinstance(value, bool) else str(value)


def job_name(app: str) -> str:
    """A name that no other job has."""
    return f"{app}_{int(time.time())}_{secrets.token_hex(5)}"


def input_files(contents: Sequence[bytes]) -> dict[str, bytes]:
    """Physical names for contents that came without one: the same content, the same name, as BOINC's files never change."""
    return {f"in_{hashlib.md5(content, usedforsecurity=False).hexdigest()}_{number}": content for number, content in enumerate(contents)}


def may_be_in_template(options: Mapping[str, object]) -> bool:
    """Is there an option that an input template could overrule?"""
    return any(name in _IN_TEMPLATES and value is not None for name, value in options.items())


def without(template: str, options: Mapping[str, object]) -> str:
    """An input template without what is said by options."""
    for name, value in options.items():
        if name in _IN_TEMPLATES and value is not None:
            template = re.sub(rf"[ \t]*<{name}>[^<]*</{name}>\n?", "", template)
    return template


def template_name(text: str) -> str:
    """The file that a template given as text gets."""
    return f"templates/inline_{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def script(requests: Sequence[Request]) -> str:
    """The shell script that stages the files of some jobs (they lie in `STAGING`) and makes the jobs, in order."""
    staged = any(request.files for request in requests)
    lines = [_STAGE] if staged else []
    return "\n".join([*lines, *(request.command() for request in requests)])
