"""A project on the upstream server: BOINC's own, driven with the tools that a project's administrator uses."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shlex
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx

from harness import containers, engine
from harness.capabilities import Capability, Unsupported
from harness.errors import HarnessError, UsageError
from harness.history import History
from harness.jobs import Job, Result
from harness.project.base import Account, Project
from harness.project.upstream import setup, work
from harness.project.upstream.database import JournalFollower, install_journal
from harness.project.upstream.trio import Trio

PASSWORD: Final = "correct horse"
#: the administrator's number in the published images, before there is anything that could be asked for it
ADMIN: Final = 1000
#: seconds for one web RPC
TIMEOUT: Final = 30.0
#: bytes of a job's inputs up to which the history holds them
RECORDED_INPUTS: Final = 64_000
#: results that the database is told to have
MANY: Final = 1_000_000
#: folders and files of a project that scenarios may write and read
FOLDERS: Final = frozenset({"apps", "templates", "bin"})
FILES: Final = frozenset({"plan_class_spec.xml", "gui_urls.xml", "project_files.xml", "terms_of_use.txt"})
#: end one daemon, and all that a trigger file tells to end
_END_DAEMON: Final = "kill $(cat pid_*/{name}.pid) && timeout 20 tail --pid=$(cat pid_*/{name}.pid) -f /dev/null"
#: The feeder removes the file when it has read them; where the daemons are stopped, it reads them at its start. While it does, the shared
#: memory is empty, and a scheduler that looks into it sends its client away ("recompile needed") for maintenance_delay: a short one, then.
_REREAD: Final = """cp -p config.xml config.kept
sed -i 's|</config>|<maintenance_delay>2</maintenance_delay></config>|' config.xml
touch reread_db
timeout 20 bash -c 'while [ -e reread_db -a ! -e stop_daemons ]; do sleep 0.1; done' || failed=1
mv config.kept config.xml
exit $failed
"""
_ALL_ENDED: Final = 'for file in pid_*/*.pid; do timeout 20 tail --pid="$(cat "$file")" -f /dev/null; done'


class WebRpcFailed(HarnessError):
    """A web RPC of the project answered with an error. Field: `error_num` (lib/error_numbers.h)."""

    def __init__(self, rpc: str, error_num: int, text: str) -> None:
        self.error_num = error_num
        super().__init__(f"a web RPC failed with error {error_num}", thing=rpc, expected="no <error>", details=text)


class UpstreamProject(Project):
    """A project behind boinc-server-docker's images."""

    def __init__(
        self,
        trio: Trio,
        history: History,
        *,
        server: str,
        url_base: str,
        config: Mapping[str, object],
        samples: Callable[[], Mapping[str, Mapping[str, bytes]]],
    ) -> None:
        self.name = trio.project
        self.history = history
        self.trio = trio
        self.master_url = f"{url_base.rstrip('/')}/{self.name}/"
        self._server = server
        self._samples = samples
        self._account: Account | None = None
        self._apps: set[str] = set()
        self._daemon_options: dict[str, object] = {"keep_outputs": True}
        self._stopped = False
        self._check(config)
        with ExitStack() as undo:
            undo.callback(trio.close)
            self._start(url_base, config)
            undo.pop_all()
        if config:
            history.add("scenario.configured", "scenario", project=self.name, options=dict(config))
        self._follower = JournalFollower(self._database, history, self.name)
        self._follower.start()

    def _start(self, url_base: str, config: Mapping[str, object]) -> None:
        trio = self.trio
        trio.start(url_base)
        self._database = trio.database
        install_journal(self._database)
        self._keep_joins_in_order()
        self._make_folder(setup.RPCS)
        options = {"debug_req_reply_dir": trio.path(setup.RPCS), **setup.OPTIONS, **_elements(config)}
        self._take(config)
        text = setup.with_options(setup.paced(self._read("config.xml")), options)
        self._write("config.xml", setup.with_deletion(text, **self._deletion()))
        self._write(f"{self.name}.cronjob", "")  # its bin/start --cron would start daemons that a scenario has stopped
        trio.run()
        self._uid = int(trio.tool("id -u").strip())
        self._files(config)
        self._triggers(config)

    def _keep_joins_in_order(self) -> None:
        """Have the database give a job's results one after the other when it joins them to jobs.

        The validator takes that for granted without asking for it (DB_VALIDATOR_ITEM_SET::enumerate() has no ORDER BY). A database that
        knows a table of results as small as a scenario's scans it first, and jobs with a quorum are then not validated: so it is told
        that there are many, of two for each job, and left in that belief. No daemon has connected yet.
        """
        schema = self._database.schema
        self._database.execute("ALTER TABLE result STATS_PERSISTENT=1, STATS_AUTO_RECALC=0")
        self._database.execute("ANALYZE TABLE result")
        where = "WHERE database_name = %s AND table_name = 'result'"
        self._database.execute(f"UPDATE mysql.innodb_table_stats SET n_rows = %s, clustered_index_size = %s {where}", [MANY, MANY, schema])
        self._database.execute(
            f"UPDATE mysql.innodb_index_stats SET stat_value = %s {where} AND stat_name LIKE 'n_diff%%'", [MANY // 2, schema]
        )
        self._database.execute("FLUSH TABLES result")

    def __repr__(self) -> str:
        return f"<Project {self.name}>"

    # --- its files

    def _read(self, path: str) -> str:
        return containers.read_file(self.trio.apache, self.trio.path(path)).decode("utf-8", "replace")

    def _write(self, path: str, text: str) -> None:
        """Overwrite a file that is there; its owner stays."""
        containers.write_file(self.trio.apache, self.trio.path(path), text.encode(), owner=ADMIN, mode=0o664)

    def _make_folder(self, name: str) -> None:
        """A folder that the web server's user may write into, while the container does not run yet."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o2777, ADMIN, ADMIN
            archive.addfile(folder)
        with engine.guard(f"making {name} of {self.name}"):
            self.trio.apache.put_archive(self.trio.layout.root, stream.getvalue())

    def _put(self, files: Mapping[str, tuple[bytes, bool]]) -> None:
        """Write files (path below the project's folder -> content, executable) as the administrator's, with their folders."""
        stream = io.BytesIO()
        folders: set[str] = set()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for path, (content, executable) in files.items():
                parents = [str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) != "."]
                for name in parents[1:] if parents and parents[0] in ("apps", "templates") else parents:
                    if name not in folders:
                        folders.add(name)
                        folder = tarfile.TarInfo(name)
                        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o775, self._uid, self._uid
                        archive.addfile(folder)
                info = tarfile.TarInfo(path)
                info.size, info.mode, info.uid, info.gid = len(content), 0o775 if executable else 0o664, self._uid, self._uid
                archive.addfile(info, io.BytesIO(content))
        with engine.guard(f"writing files of {self.name}"):
            self.trio.apache.put_archive(self.trio.layout.root, stream.getvalue())

    # --- people

    def account(self) -> Account:
        if self._account is None:
            self._account = self.create_account(self.address("volunteer"), PASSWORD, "Volunteer")
        return self._account

    def create_account(self, email: str, password: str, name: str = "") -> Account:
        digest = hashlib.md5((password + email.lower()).encode(), usedforsecurity=False).hexdigest()
        made = self._rpc("create_account", email_addr=email, passwd_hash=digest, user_name=name or email.partition("@")[0])
        authenticator = made.findtext("authenticator", "").strip()
        [user] = self._database.rows("SELECT id FROM user WHERE authenticator = %s", [authenticator])
        return Account(id=int(str(user["id"])), email=email, password=password, authenticator=authenticator)

    def _rpc(self, name: str, **arguments: str) -> ElementTree.Element:
        """A web RPC of the project, as a client makes it. Raises `WebRpcFailed`."""
        url = f"{self.trio.public_url()}/{self.name}/{name}.php?{urlencode(arguments)}"
        try:
            answer = httpx.get(url, timeout=TIMEOUT, trust_env=False)
            tree = ElementTree.fromstring(answer.text.strip())
        except (httpx.TransportError, ElementTree.ParseError) as error:
            raise HarnessError("a web RPC was not answered", thing=url, expected=f"XML; got {type(error).__name__}: {error}") from error
        number = tree.findtext(".//error_num") or tree.findtext("error_num")
        if number is not None:
            raise WebRpcFailed(name, int(number), answer.text[:500])
        return tree

    # --- applications

    def install_app(self, name: str, **columns: object) -> None:
        samples = self._samples()
        if name in self._apps or (name not in samples and not columns and self._known(name)):
            return
        files = {path: (content, path.startswith("apps/")) for path, content in samples.get(name, {}).items()}
        if files:
            self._put(files)
        if files or columns:
            self._register(name, columns)
        if files:
            self.update_versions()
        elif columns:
            self._reread()
        self._apps.add(name)

    def _known(self, name: str) -> bool:
        return bool(self._database.rows("SELECT id FROM app WHERE name = %s", [name]))

    def _register(self, name: str, columns: Mapping[str, object]) -> None:
        """Tell bin/xadd of an application, and start its daemons."""
        known = {str(row["Field"]) for row in self._database.rows("SHOW COLUMNS FROM app")}
        unknown = sorted(set(columns) - known)
        if unknown:
            raise Unsupported(Capability.OPTIONS, self._server, details=f"column {unknown[0]} of an application")
        friendly = str(columns.get("user_friendly_name") or name)
        self._write("project.xml", setup.with_app(self._read("project.xml"), name, friendly))
        self.trio.tool("bin/xadd")
        if columns:
            settings = ", ".join(f"`{column}` = %s" for column in columns)
            self._database.execute(f"UPDATE app SET {settings} WHERE name = %s", [*columns.values(), name])
        self._set_daemons([name])
        self._start_daemons()

    def _set_daemons(self, apps: Sequence[str]) -> list[str]:
        """Write the daemons of applications into config.xml; the names of those whose command is another now."""
        binaries = self.trio.tool("ls bin").split()
        daemons = [daemon for app in apps for daemon in setup.daemons_of(app, binaries, self._daemon_options)]
        before = self._read("config.xml")
        self._write("config.xml", setup.with_daemons(before, daemons))
        return [daemon.name for daemon in daemons if daemon.element() not in before]

    def _start_daemons(self, *again: str) -> None:
        """Start the daemons that do not run; those named are ended first. bin/start without --cron would sleep 5 s more.

        Where a scenario has stopped them all, they stay stopped: bin/start would remove the trigger file.
        """
        if self._stopped:
            return
        self.trio.settle()
        ended = [_END_DAEMON.format(name=shlex.quote(name)) for name in again]
        self.trio.tool("\n".join([*ended, "bin/start --cron"]))

    def _reread(self) -> None:
        """Have the feeder take over what changed of applications and versions, and wait until it has."""
        self.trio.tool(_REREAD)

    def put_file(self, path: str, content: bytes, *, executable: bool = False) -> None:
        self._put({self._checked(path): (content, executable)})

    def get_file(self, path: str) -> bytes:
        return containers.read_file(self.trio.apache, self.trio.path(self._checked(path)))

    def _checked(self, path: str) -> str:
        """A path below the project's folder that scenarios may use. Raises `Unsupported`."""
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or not (parts[0] in FOLDERS or path in FILES):
            raise Unsupported(Capability.OPTIONS, self._server, details=f"the file {path}")
        return path

    def update_versions(self) -> Sequence[Mapping[str, object]]:
        before = {row["id"] for row in self._database.rows("SELECT id FROM app_version")}
        self.trio.tool("yes | bin/update_versions")
        self._reread()
        found = self._database.rows(
            "SELECT v.*, a.name AS app_name, p.name AS platform FROM app_version v "
            "JOIN app a ON a.id = v.appid JOIN platform p ON p.id = v.platformid ORDER BY v.id"
        )
        return [row for row in found if row["id"] not in before]

    def deprecate_platform(self, name: str) -> None:
        self._database.execute("UPDATE platform SET deprecated = 1 WHERE name = %s", [name])
        self._reread()

    def change_code_sign_key(self, *, announce: bool = True) -> None:
        raise Unsupported(Capability.KEY_CHANGE, self._server, details=f"announce={announce}")

    # --- options

    def _check(self, options: Mapping[str, object]) -> None:
        """Refuse options that are the embedded server's own."""
        for name, value in options.items():
            if not setup.can_set(name, value):
                raise Unsupported(Capability.OPTIONS, self._server, details=f"{name}={value!r}")

    def _triggers(self, options: Mapping[str, object]) -> None:
        for name, value in options.items():
            if name in setup.TRIGGERS:
                self.trio.settle()
                self.trio.tool(f"touch {setup.TRIGGERS[name]}" if value else f"rm -f {setup.TRIGGERS[name]}")
        if "stop_daemons" in options:
            self._stopped = bool(options["stop_daemons"])
            if self._stopped:
                self.trio.tool(_ALL_ENDED)
            else:
                self._start_daemons()

    def _files(self, options: Mapping[str, object]) -> None:
        files = {path: setup.file_content(name, options[name]) for name, path in setup.FILES.items() if name in options}
        if files:
            self._put({path: (content.encode(), False) for path, content in files.items()})

    def _take(self, options: Mapping[str, object]) -> None:
        self._daemon_options |= {name: value for name, value in options.items() if name in setup.DAEMONS}

    def _deletion(self) -> dict[str, bool]:
        """What the file_deleter may remove, by the embedded server's options."""
        everything = bool(self._daemon_options.get("dont_delete_files"))
        return {"outputs": not everything and not self._daemon_options["keep_outputs"], "inputs": not everything}

    def _daemons(self, options: Mapping[str, object]) -> None:
        """Start daemons anew whose command line an option changes."""
        if not setup.DAEMONS & options.keys():
            return
        self._take(options)
        changed = self._set_daemons([app for app in self._apps if self._known(app)])
        before = self._read("config.xml")
        after = setup.with_deletion(before, **self._deletion())
        if after != before:
            self._write("config.xml", after)
            changed.append("file_deleter")
        if changed:
            self._start_daemons(*changed)

    def configure(self, **options: object) -> None:
        self._check(options)
        elements = _elements(options)
        if elements:
            self._write("config.xml", setup.with_options(self._read("config.xml"), elements))
        self._daemons(options)
        self._files(options)
        self._triggers(options)
        self.history.add("scenario.configured", "scenario", project=self.name, options=options)

    # --- jobs

    def submit(
        self,
        app: str,
        *,
        input: bytes | Sequence[bytes] | None = None,  # noqa: A002 - what everybody calls it
        command_line: str = "",
        name: str | None = None,
        input_template: str | None = None,
        result_template: str | None = None,
        **options: object,
    ) -> Job:
        templates = {"wu_template": input_template, "result_template": result_template}
        [job] = self._make([self._request(app, input, command_line, name, templates, options)])
        return job

    def submit_many(self, app: str, inputs: Sequence[bytes | Sequence[bytes]], **options: object) -> list[Job]:
        own = dict(options)
        command_line = str(own.pop("command_line", ""))
        templates = {"wu_template": own.pop("input_template", None), "result_template": own.pop("result_template", None)}
        return self._make([self._request(app, one, command_line, None, templates, own) for one in inputs])

    def _request(
        self,
        app: str,
        contents: bytes | Sequence[bytes] | None,
        command_line: str,
        name: str | None,
        templates: Mapping[str, object],
        options: Mapping[str, object],
    ) -> work.Request:
        unknown = sorted(set(options) - work.OPTIONS - work.FLAGS)
        if unknown:
            raise Unsupported(Capability.OPTIONS, self._server, details=f"{unknown[0]} of a job")
        self.install_app(app)
        files = [] if contents is None else [contents] if isinstance(contents, bytes) else list(contents)
        chosen: dict[str, str] = {}
        for option, given in templates.items():
            if given is not None:
                chosen[option] = self._template(str(given))
        if work.may_be_in_template(options):
            said = self._read(chosen.get("wu_template", f"templates/{app}_in"))
            left = work.without(said, options)
            if left != said:
                chosen["wu_template"] = self._template(left)
        return work.Request(app, name or work.job_name(app), work.input_files(files), command_line, chosen, options)

    def _template(self, given: str) -> str:
        """A template given by name or as text, as a path below the project's folder."""
        if "<" not in given:
            return f"templates/{given.removeprefix('templates/')}"
        path = work.template_name(given)
        self._put({path: (given.encode(), False)})
        return path

    def _make(self, requests: Sequence[work.Request]) -> list[Job]:
        staged = {f"{work.STAGING}/{name}": (content, False) for request in requests for name, content in request.files.items()}
        if staged:
            self._put(staged)
        self.trio.tool(work.script(requests))
        if any(option.startswith("broadcast") for request in requests for option in request.options):
            self._reread()  # the feeder holds the broadcast jobs, as it holds the applications
        return [self._job(request) for request in requests]

    def _job(self, request: work.Request) -> Job:
        [row] = self._database.rows("SELECT id FROM workunit WHERE name = %s", [request.name])
        number = int(str(row["id"]))
        small = sum(len(content) for content in request.files.values()) <= RECORDED_INPUTS
        self.history.add(
            "scenario.submitted",
            "scenario",
            project=self.name,
            workunit=number,
            name=request.name,
            app=request.app,
            command_line=request.command_line,
            options=dict(request.options),
            inputs=[
                {"content_b64": base64.b64encode(content).decode("ascii")} if small else {"nbytes": len(content)}
                for content in request.files.values()
            ],
        )
        return Job(self, number, request.name, request.app)

    def cancel(self, workunit_id: int) -> None:
        self.trio.tool(f"bin/cancel_jobs {workunit_id} {workunit_id}")

    # --- how things stand

    def workunit(self, workunit_id: int) -> Mapping[str, object]:
        [row] = self._database.rows("SELECT * FROM workunit WHERE id = %s", [workunit_id])
        return row

    def workunits(self) -> list[Mapping[str, object]]:
        return list(self._database.rows("SELECT * FROM workunit ORDER BY id"))

    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]:
        wanted = {column: value for column, value in (("workunitid", workunit), ("hostid", host)) if value is not None}
        where = " AND ".join(f"{column} = %s" for column in wanted) or "1"
        rows = self._database.rows(f"SELECT * FROM result WHERE {where} ORDER BY id", list(wanted.values()))
        return [Result.from_record(row) for row in rows]

    def hosts(self) -> list[Mapping[str, object]]:
        return list(self._database.rows("SELECT * FROM host ORDER BY id"))

    def users(self) -> list[Mapping[str, object]]:
        return list(self._database.rows("SELECT * FROM user ORDER BY id"))

    # --- tables

    def table(self, name: str, /, **where: object) -> list[Mapping[str, object]]:
        conditions = " AND ".join(f"`{_identifier(column)}` = %s" for column in where) or "1"
        rows = self._database.rows(f"SELECT * FROM `{_identifier(name)}` WHERE {conditions}", list(where.values()))
        return sorted(rows, key=lambda row: int(str(row.get("id", 0))))

    def edit(self, table: str, row: int | str, **columns: object) -> None:
        settings = ", ".join(f"`{_identifier(column)}` = %s" for column in columns)
        key = "name" if table == "app" else "id"
        self._database.execute(f"UPDATE `{_identifier(table)}` SET {settings} WHERE {key} = %s", [*columns.values(), row])
        if table in ("app", "app_version"):
            self._reread()

    def send_to_host(self, host: int, xml: str, *, variety: str = "") -> None:
        self._database.execute(
            "INSERT INTO msg_to_host (create_time, hostid, variety, handled, xml) VALUES (UNIX_TIMESTAMP(), %s, %s, 0, %s)",
            [host, variety, xml],
        )

    def allow_submission(self, account: Account) -> None:
        self._database.execute(
            "REPLACE INTO user_submit (user_id, quota, logical_start_time, submit_all, manage_all, max_jobs_in_progress) "
            "VALUES (%s, 0, 0, 1, 0, 0)",
            [account.id],
        )

    def _names(self, result_id: int) -> dict[str, str]:
        """Logical name -> physical name of a result's output files (result.xml_doc_in)."""
        [row] = self._database.rows("SELECT xml_doc_in FROM result WHERE id = %s", [result_id])
        return file_names(str(row["xml_doc_in"]))

    def output(self, result_id: int, name: str) -> bytes:
        names = self._names(result_id)
        if name not in names:
            raise HarnessError("a result has no such output file", thing=name, expected=f"one of {', '.join(names) or 'none'}")
        path = self._uploaded([names[name]])
        if not path:
            raise HarnessError("an output file is not on the server", thing=names[name], expected="an upload of it")
        return containers.read_file(self.trio.apache, path[0])

    def _uploaded(self, names: Sequence[str]) -> list[str]:
        """Where uploaded files of these physical names lie."""
        if not names:
            return []
        tests = " -o ".join(f"-name {shlex.quote(name)}" for name in names)
        return self.trio.tool(f"find {shlex.quote(self.trio.path('upload'))}/ -type f \\( {tests} \\)").split()

    def outputs(self, result_id: int) -> Mapping[str, Mapping[str, object]]:
        names = self._names(result_id)
        paths = self._uploaded(list(names.values()))
        if not paths:
            return {}
        listed = self.trio.tool(f"stat -c '%s %n' {shlex.join(paths)}; md5sum {shlex.join(paths)}").splitlines()
        sizes = {line.partition(" ")[2]: int(line.partition(" ")[0]) for line in listed[: len(paths)]}
        sums = {line.partition("  ")[2]: line.partition("  ")[0] for line in listed[len(paths) :]}
        found = {PurePosixPath(path).name: path for path in paths}
        return {
            logical: {"name": physical, "nbytes": sizes[found[physical]], "md5": sums[found[physical]]}
            for logical, physical in names.items()
            if physical in found
        }

    def log(self) -> str:
        return self.trio.tool('for file in log_*/*.log log_*/*.out; do test ! -f $file || { echo "=== $file"; tail -n 2000 $file; }; done')

    def exchanges(self) -> Mapping[str, bytes]:
        with engine.guard(f"reading the scheduler's exchanges of {self.name}"):
            stream, _ = self.trio.apache.get_archive(self.trio.path(setup.RPCS))
            data = b"".join(stream)
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isfile() else None
                if source is not None:
                    found[PurePosixPath(member.name).name] = source.read()
        return found

    def delete(self) -> None:
        self._follower.stop()
        self.trio.leave()
        self.trio.close()


def file_names(xml_doc_in: str) -> dict[str, str]:
    """Logical -> physical names of the file_refs of a result (open_name -> file_name)."""
    found: dict[str, str] = {}
    for block in re.findall(r"<file_ref>(.*?)</file_ref>", xml_doc_in, re.DOTALL):
        fields: dict[str, str] = dict(re.findall(r"<(file_name|open_name)>\s*([^<\s]*)\s*</", block))
        if "file_name" in fields:
            found[fields.get("open_name", fields["file_name"])] = fields["file_name"]
    return found


def _elements(options: Mapping[str, object]) -> dict[str, object]:
    """Those options that are elements of config.xml."""
    return {name: value for name, value in options.items() if name in setup.KNOWN}


def _identifier(name: str) -> str:
    """A table's or column's name as it may stand between backticks. Raises `UsageError`."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError("this is no name of a table or column", thing=name, expected="letters, digits and underscores")
    return name
