"""The description of the control interface in OpenAPI 3.1, at ``/openapi.json``: for tools that make clients, or test it."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from boinc_server import __version__
from boinc_server.control import bodies
from boinc_server.control.rights import KeyChange, SubmitRights

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_TEXT: Final = "text/plain"
_LINES: Final = "application/x-ndjson"
_ROWS: Final = ("limit", "offset", "count")
_REFERENCE: Final = "#/components/schemas/{model}"


class Operation(NamedTuple):
    """One method of one path. `body`: a model, an object of the named kind, or None; `query`: whole numbers."""

    method: str
    path: str
    summary: str
    ok: int = 200
    body: type[BaseModel] | str | None = None
    query: tuple[str, ...] = ()
    answer: str = _JSON


_P: Final = "/projects/{project}"
OPERATIONS: Final = (
    Operation("GET", "/health", "Whether the server is up; needs no token"),
    Operation("GET", "/projects", "All projects"),
    Operation("POST", "/projects", "Make a project", 201, bodies.NewProject),
    Operation("GET", _P, "A project: URLs, key, clock, options"),
    Operation("DELETE", _P, "Remove a project with everything it has", 204),
    Operation("PUT", f"{_P}/clock", "Set the virtual clock", 200, bodies.NewClock),
    Operation("GET", f"{_P}/config", "All options by their names in config.xml"),
    Operation("PATCH", f"{_P}/config", "Change options", 200, "options"),
    Operation("GET", "/sample-apps", "Names of the applications that the server brings along"),
    Operation("GET", f"{_P}/apps", "The project's applications"),
    Operation("POST", f"{_P}/apps", "Add an application; further fields are columns of the table app", 201, bodies.NewApp),
    Operation("PATCH", f"{_P}/apps/{{app}}", "Change columns of an application", 200, "columns"),
    Operation("GET", f"{_P}/app_versions", "App versions", query=_ROWS),
    Operation("PATCH", f"{_P}/app_versions/{{id:int}}", "Change columns of an app version", 200, "columns"),
    Operation("GET", f"{_P}/platforms", "Platforms", query=_ROWS),
    Operation("PATCH", f"{_P}/platforms/{{name}}", "Change columns of a platform", 200, "columns"),
    Operation("GET", f"{_P}/tree/{{path:path}}", "A file that an admin keeps", answer=_BYTES),
    Operation("PUT", f"{_P}/tree/{{path:path}}", "Write such a file (header X-Mode: octal mode)", 201, "bytes"),
    Operation("DELETE", f"{_P}/tree/{{path:path}}", "Remove such a file or folder", 204),
    Operation("POST", f"{_P}/update_versions", "Make app versions of the files below apps/"),
    Operation("GET", f"{_P}/users", "Users", query=_ROWS),
    Operation("POST", f"{_P}/users", "Make an account", 201, bodies.NewUser),
    Operation("PATCH", f"{_P}/users/{{id:int}}", "Change columns of a user", 200, "columns"),
    Operation("PUT", f"{_P}/users/{{id:int}}/submit", "Let a user submit jobs", 200, SubmitRights),
    Operation("POST", f"{_P}/code_sign_key", "Change the code signing key", 201, KeyChange),
    Operation("GET", f"{_P}/files", "Input files that clients can download, by ?prefix= of their names"),
    Operation("POST", f"{_P}/files/{{name}}", "Stage an input file", 201, "bytes"),
    Operation("DELETE", f"{_P}/files/{{name}}", "Remove a staged input file that no unfinished job needs", 204),
    Operation("POST", f"{_P}/work", "Make jobs (create_work)", 201, bodies.NewWork),
    Operation("GET", f"{_P}/workunits", "Workunits", query=_ROWS),
    Operation("GET", f"{_P}/workunits/{{id:int}}", "A workunit"),
    Operation("POST", f"{_P}/workunits/{{id:int}}/cancel", "Cancel a job (cancel_jobs)"),
    Operation("GET", f"{_P}/results", "Results", query=(*_ROWS, "workunit", "host", "user")),
    Operation("GET", f"{_P}/results/{{id:int}}", "A result"),
    Operation("GET", f"{_P}/results/{{id:int}}/outputs", "Its output files that are on the server"),
    Operation("GET", f"{_P}/results/{{id:int}}/outputs/{{open_name:path}}", "One of them", answer=_BYTES),
    Operation("GET", f"{_P}/hosts", "Hosts", query=_ROWS),
    Operation("GET", f"{_P}/hosts/{{id:int}}", "A host"),
    Operation("PATCH", f"{_P}/hosts/{{id:int}}", "Change columns of a host", 200, "columns"),
    Operation("POST", f"{_P}/hosts/{{id:int}}/merge", "Merge two records of one computer; the newer one stays", 200, bodies.MergeHost),
    Operation("GET", f"{_P}/tables/{{table}}", "Any table", query=_ROWS),
    Operation("POST", f"{_P}/messages", "A trickle-down", 201, bodies.NewMessage),
    Operation("POST", f"{_P}/purge", "Remove finished jobs from the database (db_purge)"),
    Operation("GET", f"{_P}/events", "Events after a number; ?follow=1 goes on for ever", query=("since", "follow"), answer=_LINES),
    Operation("GET", f"{_P}/log", "The project's log", answer=_TEXT),
)
_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "message"],
            "properties": {"kind": {"type": "string"}, "message": {"type": "string"}, "field": {"type": "string"}},
        }
    },
}
_PARAMETER: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
_ROW_ID: Final = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, kind in _PARAMETER.findall(operation.path):
        schema = _ROW_ID if kind == "int" else {"type": "string", "minLength": 1}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    found += [{"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}} for name in operation.query]
    if operation.body == "bytes" and "/tree/" in operation.path:
        found.append({"name": "X-Mode", "in": "header", "schema": {"type": "string", "pattern": "^0?[0-7]{3}$"}})
    return found


def _body(body: type[BaseModel] | str) -> dict[str, Any]:
    if body == "bytes":
        return {"content": {_BYTES: {"schema": {}}}}
    if isinstance(body, str):
        return {"required": True, "content": {_JSON: {"schema": {"type": "object", "description": body}}}}
    # Everything in the last two has a default.
    optional = not any(field.is_required() for field in body.model_fields.values())
    return {"required": not optional, "content": {_JSON: {"schema": {"$ref": _REFERENCE.format(model=body.__name__)}}}}


def _describe(operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "done"}
    if operation.ok != 204:
        answer["content"] = {operation.answer: {"schema": {} if operation.answer == _JSON else {"type": "string"}}}
    error = {"description": "refused", "content": {_JSON: {"schema": {"$ref": _REFERENCE.format(model="Error")}}}}
    name = re.sub("[^a-z_]+", "_", _PARAMETER.sub(r"\1", operation.path)).rstrip("_")
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}{name}",
        "parameters": _parameters(operation),
        "responses": {str(operation.ok): answer, "4XX": error},
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    if operation.path == "/health":
        described["security"] = []
    return described


def description() -> dict[str, Any]:
    """The whole description, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation)
    models = {operation.body for operation in OPERATIONS if isinstance(operation.body, type)}
    inputs = [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)]
    _, schemas = models_json_schema(inputs, ref_template=_REFERENCE)  # type: ignore[arg-type]  # list is invariant
    return {
        "openapi": "3.1.0",
        "info": {"title": "BOINC project server: control interface", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }
