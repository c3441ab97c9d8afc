"""Control of what needs no table of its own: who may submit jobs, and the code signing key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from boinc_server import code_sign, models, submit
from boinc_server.control.errors import ControlError
from boinc_server.registry import Registry

_USER = select(models.user.c.id).where(models.user.c.id == bindparam("id"))


class SubmitRights(BaseModel):
    """Whom a user may submit to: the named apps, or all of them without a list."""

    model_config = ConfigDict(extra="forbid")

    apps: list[str] | None = None
    max_jobs_in_progress: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class KeyChange(BaseModel):
    """Without `announce` the former keys do not sign the new one, as when they are lost."""

    model_config = ConfigDict(extra="forbid")

    announce: bool = True


async def _json(request: Request) -> Any:
    if not await request.body():
        return {}
    try:
        return await request.json()
    except ValueError as error:
        raise ControlError(400, "bad_json", f"the body is not JSON: {error}") from error


def routes(registry: Registry) -> list[Route]:
    """The routes of this module."""

    async def submit_rights(request: Request) -> Response:
        project = registry[request.path_params["project"]]
        body = SubmitRights.model_validate(await _json(request))
        user_id: int = request.path_params["id"]
        apps = None
        if body.apps is not None:
            found = {name: project.catalog.app_named(name) for name in body.apps}
            missing = [name for name, app in found.items() if app is None]
            if missing:
                raise ControlError(422, "invalid", f"there is no app {missing[0]!r} in project {project.name}", "apps")
            apps = [app.id for app in found.values() if app is not None]
        with project.transaction() as tx:
            if tx.one(_USER, id=user_id) is None:
                raise ControlError(404, "not_found", f"there is no user {user_id} in project {project.name}")
            submit.allow(tx, user_id, apps, max_jobs_in_progress=body.max_jobs_in_progress)
        return JSONResponse({"id": user_id, "apps": body.apps, "max_jobs_in_progress": body.max_jobs_in_progress})

    async def code_sign_key(request: Request) -> Response:
        project = registry[request.path_params["project"]]
        body = KeyChange.model_validate(await _json(request))
        code_sign.change_key(project, announce=body.announce)
        return JSONResponse({"code_sign_key": project.keys.code_sign.public.text()}, status_code=201)

    return [
        Route("/projects/{project}/users/{id:int}/submit", submit_rights, methods=["PUT"]),
        Route("/projects/{project}/code_sign_key", code_sign_key, methods=["POST"]),
    ]
