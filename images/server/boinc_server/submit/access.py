"""Reading a submission RPC, and who may do what (html/inc/submit_util.inc)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lxml import etree
from sqlalchemy import bindparam, delete, insert, select

from boinc_server import models
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project

MAX_DEPTH: Final = 20
_USER: Final = select(models.user).where(models.user.c.authenticator == bindparam("key"))
_SUBMIT: Final = select(models.user_submit).where(models.user_submit.c.user_id == bindparam("user"))
_SUBMIT_APP: Final = select(models.user_submit_app.c.app_id).where(
    models.user_submit_app.c.user_id == bindparam("user"), models.user_submit_app.c.app_id == bindparam("app")
)
_COMMAND: Final = re.compile(r"[a-z_0-9]{1,40}\Z")
_DEEP: Final = re.compile(rf"(?:<[a-z_0-9]+>\s*){{{MAX_DEPTH + 1}}}")


class RpcError(Exception):
    """What upstream answers with error number -1 and a text."""


def parse(text: str) -> etree._Element:
    """The root element of a request. No DTD, no entities, no network; bounded depth.

    Raises RpcError.
    """
    if not text.strip() or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise RpcError("can't parse request message")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        # Decoded already: a declaration of some other encoding must not count.
        root = etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise RpcError("can't parse request message") from None
    if root is None or not isinstance(root.tag, str) or not _COMMAND.match(root.tag):
        raise RpcError("can't parse request message")
    return root


def error_reply(command: str, message: str) -> str:
    """``<error>`` inside the element of the command, as clients of this interface expect."""
    error = f"<error>\n    <error_num>-1</error_num>\n    <error_msg>{escape(message)}</error_msg>\n</error>\n"
    return f"<{command}>\n{error}</{command}>\n" if command else error


def text_of(element: etree._Element, tag: str, default: str = "") -> str:
    """The trimmed text of a child."""
    found = element.findtext(tag)
    return found.strip() if found is not None else default


def number_of(element: etree._Element, tag: str) -> float | None:
    """A finite number in a child, None when there is none. Raises RpcError for a text that is no number."""
    text = text_of(element, tag)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise RpcError(f"{tag} is no number: {text[:40]}") from None
    if value - value != 0.0 or abs(value) > 1e300 or "_" in text:
        raise RpcError(f"{tag} is no number: {text[:40]}")
    return value


def integer_of(element: etree._Element, tag: str) -> int:
    """A 31-bit whole number in a child, 0 when there is none. Raises RpcError."""
    value = number_of(element, tag) or 0.0
    if not value.is_integer() or abs(value) >= 2**31:
        raise RpcError(f"{tag} is no whole number")
    return int(value)


def check_permissions(tx: Transaction, call: etree._Element, app: AnyRow | None = None) -> AnyRow:
    """The user of a request, who may use files, or submit to `app` when one is given. Raises RpcError."""
    key = text_of(call, "authenticator")
    if not key:
        raise RpcError("no authenticator")
    user = tx.one(_USER, key=key)
    if user is None:
        raise RpcError("bad authenticator")
    rights = tx.one(_SUBMIT, user=user.id)
    if app is None:
        if rights is None:
            raise RpcError("no file access")
    elif rights is None or (not rights.submit_all and tx.one(_SUBMIT_APP, user=user.id, app=app.id) is None):
        raise RpcError("no submit access")
    return user


def may_use_files(project: Project, text: str) -> bool:
    """Whether a request comes from somebody who may upload job files."""
    try:
        with project.transaction() as tx:
            check_permissions(tx, parse(text))
    except RpcError:
        return False
    return True


def rights_of(tx: Transaction, user_id: int) -> AnyRow | None:
    """The row of user_submit."""
    return tx.one(_SUBMIT, user=user_id)


def allow(tx: Transaction, user_id: int, app_ids: list[int] | None = None, *, max_jobs_in_progress: int = 0) -> None:
    """Let a user submit to some apps, or to all of them when no list is given."""
    table = models.user_submit
    tx.execute(delete(table).where(table.c.user_id == user_id))
    tx.execute(delete(models.user_submit_app).where(models.user_submit_app.c.user_id == user_id))
    row = {"user_id": user_id, "submit_all": int(app_ids is None), "manage_all": 0, "max_jobs_in_progress": max_jobs_in_progress}
    tx.execute(insert(table), row | {"quota": 0.0, "logical_start_time": 0.0})
    for app_id in app_ids or []:
        tx.execute(insert(models.user_submit_app), {"user_id": user_id, "app_id": app_id, "manage": 0})
