"""The control interface's say in submission rights and keys."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from boinc_server.control.app import make_app
from boinc_server.registry import Registry

from .conftest import Volunteer


@pytest.fixture
def control(runner: asyncio.Runner, registry: Registry) -> Any:
    transport = httpx.ASGITransport(make_app(registry, "token"))

    def call(method: str, path: str, token: str = "token", **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://control", headers=headers) as client:
                return await client.request(method, path, **options)

        return runner.run(send())

    return call


def batch(ann: Volunteer) -> str:
    xml = (
        f"<submit_batch><authenticator>{ann.host.authenticator}</authenticator><batch><app_name>uppercase</app_name>"
        "<job><input_file><mode>inline</mode><source>x</source></input_file></job></batch></submit_batch>"
    )
    return str(ann.http("POST", "/p/submit_rpc_handler.php", data={"request": xml}).text)


@pytest.mark.parametrize("rights", [{}, {"apps": ["uppercase"]}, {"apps": None, "max_jobs_in_progress": 5}])
def test_a_user_is_allowed_to_submit(ann: Volunteer, control: Any, rights: dict[str, Any]) -> None:
    assert "no submit access" in batch(ann)
    assert control("PUT", "/projects/p/users/1/submit", json=rights).status_code == 200
    assert "<batch_id>1</batch_id>" in batch(ann)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/projects/p/users/9/submit", {}, 404),
        ("/projects/q/users/1/submit", {}, 404),
        ("/projects/p/users/1/submit", {"apps": ["nothing"]}, 422),
        ("/projects/p/users/1/submit", {"max_jobs_in_progress": -1}, 422),
        ("/projects/p/users/1/submit", {"more": 1}, 422),
    ],
)
def test_wrong_rights(ann: Volunteer, control: Any, path: str, body: dict[str, Any], status: int) -> None:
    response = control("PUT", path, json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]
    assert "no submit access" in batch(ann)


@pytest.mark.parametrize("announce", [True, False])
def test_the_key_is_changed(ann: Volunteer, control: Any, announce: bool) -> None:
    ann.rpc(1.0)
    response = control("POST", "/projects/p/code_sign_key", json={"announce": announce})
    assert response.json()["code_sign_key"] == ann.project.keys.code_sign.public.text()
    assert ("<code_sign_key_signature>" in ann.rpc(1.0).text) == announce


def test_without_the_token_nothing_changes(ann: Volunteer, control: Any) -> None:
    before = ann.project.keys.code_sign
    assert control("POST", "/projects/p/code_sign_key", token="guess").status_code == 401
    assert ann.project.keys.code_sign == before
