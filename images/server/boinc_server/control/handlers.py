"""The handlers of the control interface; routes are in `app`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table, bindparam, func, insert, select, update
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from boinc_server import accounts, appversions, db_purge, host_merge, models, outputs, storage, templates, work
from boinc_server.clock import ClockSpec
from boinc_server.control import bodies
from boinc_server.control.errors import ControlError
from boinc_server.database import AnyRow
from boinc_server.states import FileDeleteState

if TYPE_CHECKING:
    from boinc_server.project import Project
    from boinc_server.registry import Registry

_TREE_ROOTS: Final = ("apps", "bin", "buda_apps", "templates")
_TREE_FILES: Final = frozenset(
    f"{name}.xml" for name in ("account_manager", "gui_urls", "plan_class_spec", "project", "project_files", "rss_feeds")
) | {"terms_of_use.txt"}
_HIDDEN: Final = frozenset({"passwd_hash", "login_token"})
DEFAULT_ROWS: Final = 10_000
MAX_ROWS: Final = 100_000


def as_dict(row: AnyRow) -> dict[str, Any]:
    return {key: value for key, value in row._mapping.items() if key not in _HIDDEN}  # noqa: SLF001 - SQLAlchemy's public name


class Handlers:
    """One method per resource; each raises ControlError or an error that `app` knows."""

    def __init__(self, registry: Registry, sample_apps: Path | None) -> None:
        self._registry = registry
        self._samples = sample_apps

    def _project(self, request: Request) -> Project:
        return self._registry[request.path_params["project"]]

    async def _json(self, request: Request) -> Any:
        try:
            return await request.json()
        except ValueError as error:
            raise ControlError(400, "bad_json", f"the body is not JSON: {error}") from error

    def _describe(self, project: Project) -> dict[str, Any]:
        return {
            "name": project.name,
            "long_name": project.long_name,
            "master_url": project.master_url,
            "scheduler_url": project.scheduler_url,
            "upload_url": project.upload_url,
            "download_url": project.download_url,
            "code_sign_key": project.keys.code_sign.public.text(),
            "clock": project.clock.spec.as_list(),
            "now": project.clock.now(),
            "config": project.config.model_dump(),
            "apps": [app.name for app in project.catalog.apps()],
            "last_seq": project.events.last_seq,
        }

    # Projects

    async def projects(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse([self._describe(project) for project in self._registry])
        body = bodies.NewProject.model_validate(await self._json(request))
        project = self._registry.create(body.name, body.long_name, body.config, _clock(body.clock))
        try:
            for name in body.apps:
                self._add_app(project, name, sample=True, columns={})
        except Exception:
            self._registry.delete(body.name)
            raise
        return JSONResponse(self._describe(project), status_code=201)

    async def project(self, request: Request) -> Response:
        project = self._project(request)
        if request.method == "DELETE":
            self._registry.delete(project.name)
            return Response(status_code=204)
        return JSONResponse(self._describe(project))

    async def clock(self, request: Request) -> Response:
        project = self._project(request)
        body = bodies.NewClock.model_validate(await self._json(request))
        spec = _clock(body.clock)
        assert spec is not None
        project.set_clock(spec)
        return JSONResponse({"clock": project.clock.spec.as_list(), "now": project.clock.now()})

    async def config(self, request: Request) -> Response:
        project = self._project(request)
        if request.method == "PATCH":
            changes = await self._json(request)
            if not isinstance(changes, dict):
                raise ControlError(422, "invalid", "the body must be an object: option -> value")
            project.configure(changes)
        return JSONResponse(project.config.model_dump())

    # Apps

    async def sample_apps(self, _request: Request) -> Response:
        names = sorted(p.name for p in self._samples.iterdir() if p.is_dir()) if self._samples and self._samples.is_dir() else []
        return JSONResponse(names)

    def _add_app(self, project: Project, name: str, *, sample: bool, columns: dict[str, Any]) -> tuple[int, list[int], list[str]]:
        with project.transaction() as tx:
            app_id = appversions.add_app(tx, name, columns)
            if not sample:
                return app_id, [], []
            if self._samples is None:
                raise ControlError(422, "no_samples", "this server has no sample apps (BOINC_SAMPLE_APPS)")
            appversions.install_sample(tx, self._samples, name)
            versions, messages = appversions.update_versions(tx)
            if not versions:
                raise ControlError(422, "app_version", f"sample app {name} has no usable version: {'; '.join(messages)}")
            return app_id, versions, messages

    async def apps(self, request: Request) -> Response:
        project = self._project(request)
        if request.method == "GET":
            return JSONResponse([as_dict(app) for app in project.catalog.apps()])
        body = bodies.NewApp.model_validate(await self._json(request))
        app_id, versions, messages = self._add_app(project, body.name, sample=body.sample, columns=dict(body.model_extra or {}))
        return JSONResponse({"id": app_id, "name": body.name, "app_versions": versions, "messages": messages}, status_code=201)

    async def app(self, request: Request) -> Response:
        project = self._project(request)
        app = project.catalog.app_named(request.path_params["app"])
        if app is None:
            raise ControlError(404, "no_such_app", f"there is no app {request.path_params['app']!r} in project {project.name}")
        return self._patch(project, models.app, app.id, await self._json(request))

    async def app_versions(self, request: Request) -> Response:
        return self._rows(self._project(request), models.app_version, request)

    async def app_version(self, request: Request) -> Response:
        return self._patch(self._project(request), models.app_version, request.path_params["id"], await self._json(request))

    def _patch(self, project: Project, table: Table, row_id: int, changes: Any) -> Response:
        """Change columns of a row, as an admin does in the database."""
        columns = {c.name for c in table.columns} - {"id"}
        if not isinstance(changes, dict) or not changes:
            raise ControlError(422, "invalid", "the body must be an object: column -> value")
        for name, value in changes.items():
            if name not in columns:
                raise ControlError(422, "invalid", f"{table.name} has no column {name!r}", name)
            expected = table.c[name].type.python_type
            if isinstance(value, bool) or not isinstance(value, (int, float) if expected is float else expected):
                raise ControlError(422, "invalid", f"{name} must be {expected.__name__}, not {value!r}", name)
        with project.transaction() as tx:
            if tx.execute(update(table).where(table.c.id == row_id).values(**changes)).rowcount != 1:
                raise ControlError(404, f"no_such_{table.name}", f"there is no {table.name} {row_id} in project {project.name}")
            row = tx.one(select(table).where(table.c.id == row_id))
        project.catalog.invalidate()
        if row is None:
            raise ControlError(404, f"no_such_{table.name}", f"there is no {table.name} {row_id} in project {project.name}")
        return JSONResponse(as_dict(row))

    async def tree(self, request: Request) -> Response:
        """Files an admin keeps: below apps/ and templates/, and a few by name."""
        project = self._project(request)
        path = request.path_params["path"]
        parts = path.split("/")
        if any(part in ("", ".", "..") or part.startswith(".") or "\0" in part for part in parts):
            raise ControlError(422, "bad_path", f"not a path in the project's tree: {path!r}", "path")
        if not (len(parts) > 1 and parts[0] in _TREE_ROOTS) and path not in _TREE_FILES:
            raise ControlError(
                422, "bad_path", f"{path!r}: only {', '.join(_TREE_ROOTS)} and {', '.join(sorted(_TREE_FILES))} can be written", "path"
            )
        target = project.path(*parts)
        if request.method == "GET":
            if not target.is_file():
                raise ControlError(404, "no_such_file", f"there is no {path} in project {project.name}")
            return Response(target.read_bytes(), media_type="application/octet-stream")
        if request.method == "DELETE":
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            return Response(status_code=204)
        mode = request.headers.get("x-mode", "0644")
        try:
            bits = int(mode, 8)
        except ValueError:
            bits = -1
        if not 0 <= bits <= 0o777:
            raise ControlError(422, "invalid", f"X-Mode must be octal like 0755, not {mode!r}", "X-Mode")
        content = await request.body()
        storage.write_atomically(target, content)
        target.chmod(bits)
        return JSONResponse({"path": path, "nbytes": len(content)}, status_code=201)

    async def update_versions(self, request: Request) -> Response:
        project = self._project(request)
        with project.transaction() as tx:
            added, messages = appversions.update_versions(tx)
        rows = [v for v in (project.catalog.version(i) for i in added) if v is not None]
        described = [
            {"id": v.id, "app": v.app_name, "version_num": v.version_num, "platform": v.platform, "plan_class": v.plan_class} for v in rows
        ]
        return JSONResponse({"app_versions": described, "messages": messages})

    async def platforms(self, request: Request) -> Response:
        return self._rows(self._project(request), models.platform, request)

    async def platform(self, request: Request) -> Response:
        """Change a platform, e.g. {"deprecated": 1}: the project then supports it no more."""
        project = self._project(request)
        with project.transaction() as tx:
            row = tx.one(select(models.platform.c.id).where(models.platform.c.name == request.path_params["name"]))
        if row is None:
            raise ControlError(404, "no_such_platform", f"there is no platform {request.path_params['name']!r} in project {project.name}")
        return self._patch(project, models.platform, row.id, await self._json(request))

    # Users and hosts

    async def users(self, request: Request) -> Response:
        project = self._project(request)
        if request.method == "GET":
            return self._rows(project, models.user, request)
        body = bodies.NewUser.model_validate(await self._json(request))
        name = body.name or body.email.partition("@")[0]
        user = accounts.create(project, body.email, accounts.passwd_hash(body.email, body.password), name, verify=False)
        return JSONResponse({"id": user.id, "authenticator": user.authenticator, "email": user.email_addr}, status_code=201)

    async def user(self, request: Request) -> Response:
        return self._patch(self._project(request), models.user, request.path_params["id"], await self._json(request))

    async def hosts(self, request: Request) -> Response:
        return self._rows(self._project(request), models.host, request)

    async def host(self, request: Request) -> Response:
        project = self._project(request)
        if request.method == "PATCH":
            return self._patch(project, models.host, request.path_params["id"], await self._json(request))
        return self._row(project, models.host, request.path_params["id"])

    async def merge_host(self, request: Request) -> Response:
        """Merge a host with another record of the same computer, as its user may; the newer of the two stays."""
        project = self._project(request)
        body = bodies.MergeHost.model_validate(await self._json(request))
        with project.transaction() as tx:
            remaining = host_merge.merge(tx, request.path_params["id"], body.other)
        return self._row(project, models.host, remaining)

    async def messages(self, request: Request) -> Response:
        project = self._project(request)
        body = bodies.NewMessage.model_validate(await self._json(request))
        with project.transaction() as tx:
            message = tx.insert(insert(models.msg_to_host), create_time=tx.now, hostid=body.host, variety=body.variety, xml=body.xml)
        return JSONResponse({"id": message}, status_code=201)

    # Work

    async def staged_files(self, request: Request) -> Response:
        """Input files that clients can download, those whose names begin with ?prefix=."""
        project, prefix = self._project(request), request.query_params.get("prefix", "")
        found = sorted(path for path in project.path("download").rglob("*") if path.name.startswith(prefix) and path.suffix != ".md5")
        return JSONResponse([{"name": path.name, "nbytes": path.stat().st_size} for path in found if path.is_file()])

    async def files(self, request: Request) -> Response:
        project = self._project(request)
        name = request.path_params["name"]
        if request.method == "DELETE":
            target = storage.download_path(project, storage.check_name(name))
            unfinished = (
                select(models.workunit.c.name)
                .where(models.workunit.c.file_delete_state == int(FileDeleteState.INIT))
                .where(models.workunit.c.xml_doc.contains(f"<name>{name}</name>", autoescape=True))
                .limit(1)
            )
            with project.transaction() as tx:
                user = tx.one(unfinished)
                if user is not None:
                    raise ControlError(409, "in_use", f"job {user.name} is not done and needs {name}")
                target.unlink(missing_ok=True)
                Path(f"{target}.md5").unlink(missing_ok=True)
            return Response(status_code=204)
        digest, nbytes = work.stage_file(project, name, await request.body())
        return JSONResponse({"name": name, "nbytes": nbytes, "md5": digest}, status_code=201)

    async def work(self, request: Request) -> Response:
        project = self._project(request)
        body = bodies.NewWork.model_validate(await self._json(request))
        files = [self._input(project, item) for item in body.inputs]
        ids = []
        with project.transaction() as tx:
            for index in range(body.count):
                name = body.name if body.count == 1 or body.name is None else f"{body.name}_{index}"
                ids.append(work.create_work(tx, body.app, files, body.options, name, body.command_line))
        with project.transaction() as tx:
            created = [_with_results(tx.all(_WORKUNIT_RESULTS, id=i), i) for i in ids] if len(ids) <= 1000 else [{"id": i} for i in ids]
        return JSONResponse({"workunits": created}, status_code=201)

    def _input(self, project: Project, item: str | bodies.InlineFile | bodies.RemoteFile) -> templates.InputFile:
        if isinstance(item, str):
            return templates.InputFile(item)
        if isinstance(item, bodies.RemoteFile):
            return templates.InputFile(f"jf_{item.md5}", item.url, item.nbytes, item.md5)
        name = item.name or work.inline_name(item.content_b64)
        work.stage_file(project, name, item.content_b64)
        return templates.InputFile(name)

    async def workunits(self, request: Request) -> Response:
        return self._rows(self._project(request), models.workunit, request)

    async def workunit(self, request: Request) -> Response:
        return self._row(self._project(request), models.workunit, request.path_params["id"])

    async def cancel(self, request: Request) -> Response:
        """As cancel_jobs: unsent results are not needed, running ones get an abort at the next RPC."""
        project, workunit_id = self._project(request), request.path_params["id"]
        with project.transaction() as tx:
            work.cancel(tx, workunit_id)
        return self._row(project, models.workunit, workunit_id)

    async def results(self, request: Request) -> Response:
        renamed = {"workunit": "workunitid", "host": "hostid", "user": "userid"}
        return self._rows(self._project(request), models.result, request, renamed)

    async def result(self, request: Request) -> Response:
        return self._row(self._project(request), models.result, request.path_params["id"])

    def _outputs(self, request: Request) -> list[outputs.OutputFile]:
        project, result_id = self._project(request), request.path_params["id"]
        with project.transaction() as tx:
            row = tx.one(select(models.result.c.xml_doc_in).where(models.result.c.id == result_id))
        if row is None:
            raise ControlError(404, "no_such_result", f"there is no result {result_id} in project {project.name}")
        return outputs.outputs_of(project, row.xml_doc_in)

    async def outputs(self, request: Request) -> Response:
        project, found = self._project(request), {}
        for file in self._outputs(request):
            opened = outputs.open_output(project, file)
            if opened is not None:
                with opened:
                    digest = hashlib.file_digest(opened, "md5").hexdigest()
                    found[file.open_name] = {"name": file.name, "nbytes": os.fstat(opened.fileno()).st_size, "md5": digest}
        return JSONResponse(found)

    async def output(self, request: Request) -> Response:
        wanted = request.path_params["open_name"]
        for file in self._outputs(request):
            opened = outputs.open_output(self._project(request), file) if file.open_name == wanted else None
            if opened is not None:
                size = os.fstat(opened.fileno()).st_size
                return StreamingResponse(_chunks(opened), headers={"content-length": str(size)}, media_type="application/octet-stream")
        raise ControlError(404, "no_such_output", f"result {request.path_params['id']} has no output {wanted!r} on the server")

    async def purge(self, request: Request) -> Response:
        """Delete finished workunits and their results from the database (db_purge)."""
        return JSONResponse({"workunits": db_purge.purge(self._project(request))})

    # Reading

    def _row(self, project: Project, table: Table, row_id: int) -> Response:
        with project.transaction() as tx:
            row = tx.one(select(table).where(table.c.id == row_id))
        if row is None:
            raise ControlError(404, f"no_such_{table.name}", f"there is no {table.name} {row_id} in project {project.name}")
        return JSONResponse(as_dict(row))

    def _rows(self, project: Project, table: Table, request: Request, renamed: dict[str, str] | None = None) -> Response:
        """Rows of a table; ?column=value filters, ?limit= and ?offset= page, ?count=1 only counts."""
        query = select(table)
        params = dict(request.query_params)
        limit, offset = _number(params.pop("limit", str(DEFAULT_ROWS)), "limit"), _number(params.pop("offset", "0"), "offset")
        count_only = params.pop("count", "0") not in ("0", "")
        for name, value in params.items():
            column_name = (renamed or {}).get(name, name)
            if column_name not in table.c:
                raise ControlError(422, "invalid", f"{table.name} has no column {name!r} to select by", name)
            column = table.c[column_name]
            query = query.where(column == (value if column.type.python_type is str else _number(value, name)))
        with project.transaction() as tx:
            if count_only:
                total = tx.one(select(func.count()).select_from(query.subquery()))
                return JSONResponse({"count": total[0] if total else 0})
            if "id" in table.c:
                query = query.order_by(table.c.id)
            rows = tx.all(query.limit(min(limit, MAX_ROWS)).offset(offset))
        return JSONResponse([as_dict(row) for row in rows])

    async def table(self, request: Request) -> Response:
        """Any table by its name."""
        name = request.path_params["table"]
        if name not in models.metadata.tables or name == "token":
            raise ControlError(404, "no_such_table", f"there is no table {name!r}")
        return self._rows(self._project(request), models.metadata.tables[name], request)

    async def events(self, request: Request) -> Response:
        project = self._project(request)
        since = _number(request.query_params.get("since", "0"), "since")
        if request.query_params.get("follow", "0") in ("0", ""):
            return Response(b"".join(project.events.since(since)), media_type="application/x-ndjson")
        return StreamingResponse(project.events.follow(since), media_type="application/x-ndjson")

    async def log(self, request: Request) -> Response:
        file = self._project(request).path("log", "server.log")
        return PlainTextResponse(file.read_text(encoding="utf-8", errors="replace") if file.exists() else "")


_R = models.result.c
_WORKUNIT_RESULTS: Final = (
    select(models.workunit.c.name.label("wu_name"), _R.id, _R.name)
    .join_from(models.workunit, models.result, _R.workunitid == models.workunit.c.id, isouter=True)
    .where(models.workunit.c.id == bindparam("id"))
    .order_by(_R.id)
)


def _with_results(rows: list[AnyRow], workunit_id: int) -> dict[str, Any]:
    results = [{"id": row.id, "name": row.name} for row in rows if row.id is not None]
    return {"id": workunit_id, "name": rows[0].wu_name, "results": results}


def _clock(values: list[float] | None) -> ClockSpec | None:
    if values is None:
        return None
    try:
        return ClockSpec(*values)
    except ValueError as error:
        raise ControlError(422, "invalid", str(error), "clock") from error


def _number(text: str, field: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise ControlError(422, "invalid", f"{field} must be a whole number, not {text!r}", field)
    return value


def _chunks(opened: BufferedReader) -> Iterator[bytes]:
    with opened:
        while chunk := opened.read(1 << 20):
            yield chunk
