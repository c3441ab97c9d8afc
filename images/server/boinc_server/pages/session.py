"""Who is looking: log-ins of volunteers by a cookie, of admins by HTTP Basic with the control token."""

from __future__ import annotations

import base64
import hmac
import os
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete

from boinc_server import accounts, models

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.public import Request

COOKIE: Final = "boinc_session"
TOKEN_SESSION: Final = "S"


def _token(request: Request) -> str:
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(request.headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


def current_user(request: Request) -> AnyRow | None:
    """The user who is logged in, None if nobody is."""
    token = _token(request)
    if not token or request.project is None:
        return None
    with request.project.transaction() as tx:
        return accounts.token_user(tx, token, TOKEN_SESSION, use=False)


def log_in(request: Request, user: AnyRow) -> list[tuple[bytes, bytes]]:
    """Headers that log the user in. Strict same-site cookies keep forged forms of other sites out."""
    assert request.project is not None
    with request.project.transaction() as tx:
        token = accounts.new_token(tx, user.id, TOKEN_SESSION)
    value = f"{COOKIE}={token}; Path=/{request.project.name}/; HttpOnly; SameSite=Strict; Max-Age={accounts.TOKEN_SECONDS}"
    return [(b"set-cookie", value.encode())]


def log_out(request: Request) -> list[tuple[bytes, bytes]]:
    """Headers that forget the log-in, which is ended here as well."""
    assert request.project is not None
    if token := _token(request):
        with request.project.transaction() as tx:
            tx.execute(delete(models.token).where(models.token.c.token == token, models.token.c.type == TOKEN_SESSION))
    return [(b"set-cookie", f"{COOKIE}=; Path=/{request.project.name}/; HttpOnly; SameSite=Strict; Max-Age=0".encode())]


def is_admin(request: Request) -> bool:
    """True for the user "admin" with the control interface's token as password."""
    expected = os.environ.get("BOINC_CONTROL_TOKEN", "")
    scheme, _, encoded = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if not expected or scheme.lower() != "basic":
        return False
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return False
    return hmac.compare_digest(password.encode(), expected.encode()) and name == "admin"
