"""The control interface: how a test harness makes projects and jobs, and follows what happens.

HTTP and JSON on a port of its own, bound to an address that volunteers do not reach, with a bearer
token. Errors: ``{"error": {"kind", "message", "field"?}}`` with a 4xx status.
"""

from __future__ import annotations

import hmac
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from boinc_server import __version__, appversions, storage, templates, work
from boinc_server.accounts import AccountError
from boinc_server.control import handlers, openapi, rights
from boinc_server.control.errors import ControlError
from boinc_server.host_merge import HostsNotMergedError
from boinc_server.registry import BadNameError, NoSuchProjectError, ProjectExistsError, Registry

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger("boinc_server.control")


def _error(status: int, kind: str, message: str, field: str | None = None) -> JSONResponse:
    body: dict[str, Any] = {"kind": kind, "message": message}
    if field is not None:
        body["field"] = field
    return JSONResponse({"error": body}, status_code=status)


class BearerToken:
    """Lets nobody in without the token, except to /health."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self._expected):
                response = _error(401, "unauthorized", "the control interface needs the header Authorization: Bearer TOKEN")
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


async def _openapi(_request: Request) -> Response:
    return JSONResponse(openapi.description())


async def _on_control_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ControlError)
    return _error(error.status, error.kind, str(error), error.field)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return _error(422, "invalid", f"{field}: {first['msg']}" if field else first["msg"], field)


async def _on_known_error(_request: Request, error: Exception) -> Response:
    match error:
        case NoSuchProjectError():
            return _error(404, "no_such_project", f"there is no project {error.args[0]!r}")
        case ProjectExistsError():
            return _error(409, "exists", str(error), "name")
        case BadNameError():
            return _error(422, "invalid", str(error), "name")
        case work.WorkError():
            return _error(422, "invalid", str(error), error.field)
        case templates.TemplateError():
            return _error(422, "template", str(error))
        case storage.BadFilenameError():
            return _error(422, "bad_filename", str(error), "name")
        case appversions.AppVersionError():
            return _error(422, "app_version", str(error))
        case HostsNotMergedError():
            return _error(409, "not_merged", str(error))
        case AccountError():
            return _error(422, f"boinc{error.number}", str(error))
        case _:
            return _error(422, "invalid", str(error))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, "http", error.detail)


async def _on_any_error(request: Request, error: Exception) -> Response:
    _log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _error(500, "internal", f"{type(error).__name__}: {error}")


def make_app(registry: Registry, token: str, sample_apps: Path | None = None) -> ASGIApp:
    """The ASGI application of the control interface.

    Args:
        token: the bearer token that every request but /health must carry.
        sample_apps: the tree of sample applications, one directory each.
    """
    api = handlers.Handlers(registry, sample_apps)
    project = "/projects/{project}"
    routes = [
        Route("/health", _health),
        Route("/openapi.json", _openapi),
        Route("/projects", api.projects, methods=["GET", "POST"]),
        Route(project, api.project, methods=["GET", "DELETE"]),
        Route(f"{project}/clock", api.clock, methods=["PUT"]),
        Route(f"{project}/config", api.config, methods=["GET", "PATCH"]),
        Route("/sample-apps", api.sample_apps),
        Route(f"{project}/apps", api.apps, methods=["GET", "POST"]),
        Route(f"{project}/apps/{{app}}", api.app, methods=["PATCH"]),
        Route(f"{project}/app_versions", api.app_versions),
        Route(f"{project}/app_versions/{{id:int}}", api.app_version, methods=["PATCH"]),
        Route(f"{project}/platforms", api.platforms),
        Route(f"{project}/platforms/{{name}}", api.platform, methods=["PATCH"]),
        Route(f"{project}/tree/{{path:path}}", api.tree, methods=["GET", "PUT", "DELETE"]),
        Route(f"{project}/update_versions", api.update_versions, methods=["POST"]),
        Route(f"{project}/users", api.users, methods=["GET", "POST"]),
        Route(f"{project}/users/{{id:int}}", api.user, methods=["PATCH"]),
        Route(f"{project}/files", api.staged_files),
        Route(f"{project}/files/{{name}}", api.files, methods=["POST", "DELETE"]),
        Route(f"{project}/work", api.work, methods=["POST"]),
        Route(f"{project}/workunits", api.workunits),
        Route(f"{project}/workunits/{{id:int}}", api.workunit),
        Route(f"{project}/workunits/{{id:int}}/cancel", api.cancel, methods=["POST"]),
        Route(f"{project}/results", api.results),
        Route(f"{project}/results/{{id:int}}", api.result),
        Route(f"{project}/results/{{id:int}}/outputs", api.outputs),
        Route(f"{project}/results/{{id:int}}/outputs/{{open_name:path}}", api.output),
        Route(f"{project}/hosts", api.hosts),
        Route(f"{project}/hosts/{{id:int}}", api.host, methods=["GET", "PATCH"]),
        Route(f"{project}/hosts/{{id:int}}/merge", api.merge_host, methods=["POST"]),
        Route(f"{project}/tables/{{table}}", api.table),
        Route(f"{project}/messages", api.messages, methods=["POST"]),
        Route(f"{project}/purge", api.purge, methods=["POST"]),
        Route(f"{project}/events", api.events),
        Route(f"{project}/log", api.log),
        *rights.routes(registry),
    ]
    known = (
        NoSuchProjectError,
        ProjectExistsError,
        BadNameError,
        work.WorkError,
        templates.TemplateError,
        storage.BadFilenameError,
        appversions.AppVersionError,
        AccountError,
        HostsNotMergedError,
    )
    exception_handlers: dict[Any, Any] = dict.fromkeys(known, _on_known_error)
    exception_handlers |= {
        ControlError: _on_control_error,
        ValidationError: _on_validation_error,
        HTTPException: _on_http_error,
        # a number or a text that the database cannot store
        OverflowError: _on_known_error,
        UnicodeEncodeError: _on_known_error,
        DataError: _on_known_error,
        SQLAlchemyError: _on_any_error,
        Exception: _on_any_error,
    }
    return Starlette(routes=routes, exception_handlers=exception_handlers, middleware=[Middleware(BearerToken, token=token)])
