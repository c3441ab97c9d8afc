"""An upstream server that is a dict of files and a list of commands: what the harness does to a project, without containers."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Sequence
from typing import Any

CONFIG = """<boinc>
<config>
<long_name>p</long_name>
</config>
<daemons>
<daemon><cmd>feeder -d 3</cmd></daemon>
<daemon><cmd>file_deleter -d 3</cmd></daemon>
</daemons>
</boinc>
"""
PROJECT = "<boinc>\n<platform><name>x86_64-pc-linux-gnu</name></platform>\n</boinc>\n"
BINARIES = "sample_bitwise_validator\nsample_trivial_validator\nsample_dummy_assimilator\nscript_validator\nscript_assimilator\n"
ROOT = "/home/boincadm/project"


class FakeDatabase:
    """Knows the tables `app` and `workunit`, as far as they are asked for."""

    schema = "p_1"

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.apps: list[str] = []
        self.jobs: list[str] = []

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, object]]:
        self.statements.append(statement)
        if statement.startswith("SHOW COLUMNS"):
            return [{"Field": name} for name in ("name", "user_friendly_name", "beta")]
        if statement.startswith("SELECT id FROM app "):
            return [{"id": self.apps.index(str(values[0])) + 1}] if values[0] in self.apps else []
        if statement.startswith("SELECT id FROM workunit"):
            return [{"id": self.jobs.index(str(values[0])) + 1}]
        if statement.startswith("SELECT xml_doc_in"):
            return [{"xml_doc_in": "<file_ref><file_name>j_0</file_name><open_name>out</open_name></file_ref>"}]
        return []

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        self.rows(statement, values)

    def close(self) -> None: ...


class FakeContainer:
    """The apache container: its files, by their full path."""

    name = "apache"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {f"{ROOT}/config.xml": CONFIG.encode(), f"{ROOT}/project.xml": PROJECT.encode()}
        self.modes: dict[str, int] = {}

    def put_archive(self, folder: str, data: bytes) -> bool:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isfile() else None
                self.files[f"{folder}/{member.name}"] = source.read() if source is not None else b"(a folder)"
                self.modes[f"{folder}/{member.name}"] = member.mode
        return True


class _Layout:
    root = ROOT
    user = "boincadm"


class FakeTrio:
    """What `UpstreamProject` asks of a trio."""

    project = "p_1"
    layout = _Layout()

    def __init__(self) -> None:
        self.apache = FakeContainer()
        self.database = FakeDatabase()
        self.scripts: list[str] = []
        self.fails_at_run = False
        self.settled = False
        self.log: list[str] = []

    def start(self, url_base: str) -> None:
        self.log.append(f"start {url_base}")

    def run(self) -> None:
        if self.fails_at_run:
            raise RuntimeError("apache ended")
        self.log.append("run")

    def settle(self) -> None:
        self.settled = True

    def tool(self, script: str) -> str:
        assert self.settled or ("bin/start" not in script and not script.startswith("touch stop_")), (
            "the container's own bin/start is in the way"
        )
        self.scripts.append(script)
        self.database.jobs += re.findall(r"--wu_name (\S+)", script)
        if script == "bin/xadd":
            found = re.findall(r"<app><name>(.*?)</name>", self.text("project.xml"))
            self.database.apps += [name for name in found if name not in self.database.apps]
        return {"id -u": "1000\n", "ls bin": BINARIES}.get(script, "")

    def ask(self, script: str) -> str:
        return self.tool(script)

    def path(self, relative: str) -> str:
        return f"{ROOT}/{relative}"

    def leave(self) -> None:
        self.log.append("leave")

    def close(self) -> None:
        self.log.append("close")

    def text(self, path: str) -> str:
        return self.apache.files[f"{ROOT}/{path}"].decode()


def read_file(container: Any, path: str) -> bytes:
    content: bytes = container.files[path]
    return content


def write_file(container: Any, path: str, content: bytes, **_: object) -> None:
    container.files[path] = content
