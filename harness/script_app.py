"""An application that is a shell script of a scenario's own, installed as a project's admin does it.

    script_app.install(stack.project, "greeter", 'echo "hello, $(cat name)" > out', inputs=["name"])
    job = stack.project.submit("greeter", input=b"world")

Inputs are copied into the slot and outputs out of it, so the script needs nothing of BOINC's library: it runs in the slot with the
job's command line as its arguments, and what it prints to standard error is the task's stderr. When its last line is through, the
client is told that it has finished; `set -e` ends it before that with an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.project.base import Project

PLATFORM = "x86_64-pc-linux-gnu"
#: channels of boinc_mmap_file (lib/app_ipc.h): 1024 bytes each, the first one says whether the text after it is unread
STATUS, TRICKLE_UP, TRICKLE_DOWN = 5, 6, 7


def install(
    project: Project,
    name: str,
    script: str,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = ("out",),
    input_info: str = "",
    output_info: str = "",
    output_urls: Sequence[str] = ("<UPLOAD_URL/>",),
    max_nbytes: float = 1e8,
    copied: bool = True,
    version: str = "1.0",
    platform: str = PLATFORM,
    plan_class: str = "",
    **columns: object,
) -> None:
    """Install an application or, with another `version`, `platform` or `plan_class`, one more version of it.

    `inputs` and `outputs` are logical names; `input_info` and `output_info` are further elements of their `<file_info>` ("<sticky/>").
    Without `copied` files are links, as the client makes them by default. `columns` are those of the table app.
    """
    project.install_app(name, user_friendly_name=name.capitalize(), **columns)
    folder = f"apps/{name}/{version}/{platform}" + (f"__{plan_class}" if plan_class else "")
    program = f"{name}_{version}_{platform}_{plan_class}.sh"
    project.put_file(f"{folder}/{program}", _PROGRAM.format(script=script).encode(), executable=True)
    project.put_file(f"{folder}/version.xml", _VERSION.format(program=program).encode())
    project.put_file(f"templates/{name}_in", input_template(inputs, input_info, copied=copied).encode())
    project.put_file(
        f"templates/{name}_out", output_template(outputs, output_info, urls=output_urls, max_nbytes=max_nbytes, copied=copied).encode()
    )
    project.update_versions()


def input_template(names: Sequence[str], info: str = "", *, copied: bool = True) -> str:
    """A template of jobs with these input files."""
    copy = "<copy_file/>" if copied else ""
    infos = f"<file_info>\n{info}\n</file_info>\n" * len(names)
    references = "".join(f"<file_ref>\n<open_name>{name}</open_name>\n{copy}\n</file_ref>\n" for name in names)
    return f"<input_template>\n{infos}<workunit>\n{references}{_AMOUNTS}</workunit>\n</input_template>\n"


def output_template(
    names: Sequence[str], info: str = "", *, urls: Sequence[str] = ("<UPLOAD_URL/>",), max_nbytes: float = 1e8, copied: bool = True
) -> str:
    """A template of results with these output files."""
    places = "".join(f"<url>{url}</url>\n" for url in urls)
    files = "".join(
        f"<file_info>\n<name><OUTFILE_{number}/></name>\n<generated_locally/>\n<upload_when_present/>\n{info}\n"
        f"<max_nbytes>{max_nbytes:.0f}</max_nbytes>\n{places}</file_info>\n"
        for number in range(len(names))
    )
    copy = "<copy_file/>" if copied else ""
    references = "".join(
        f"<file_ref>\n<file_name><OUTFILE_{number}/></file_name>\n<open_name>{name}</open_name>\n{copy}\n</file_ref>\n"
        for number, name in enumerate(names)
    )
    return f"<output_template>\n{files}<result>\n{references}</result>\n</output_template>\n"


def link(name: str) -> str:
    """Where the file is that the job knows by this name, for an application whose files are links (`copied=False`)."""
    return f"$(sed 's/<[^>]*>//g' {name})"


def message(channel: int, text: str) -> str:
    """A command that puts a message for the client into its channel, as BOINC's library does: the text, then the flag."""
    at = 1024 * channel
    write = "dd of=boinc_mmap_file conv=notrunc bs=1 status=none seek="
    return f"printf '{text}\\0' | {write}{at + 1}\nprintf '\\001' | {write}{at}"


_PROGRAM = """#!/bin/sh
set -e
{script}
echo 0 > boinc_finish_called
"""

_VERSION = """<version>
    <file>
        <physical_name>{program}</physical_name>
        <main_program/>
    </file>
    <api_version>8.2.0</api_version>
</version>
"""

_AMOUNTS = """<rsc_fpops_est>1e9</rsc_fpops_est>
<rsc_fpops_bound>1e13</rsc_fpops_bound>
<rsc_memory_bound>5e7</rsc_memory_bound>
<rsc_disk_bound>1e8</rsc_disk_bound>
<delay_bound>86400</delay_bound>
"""
