"""An account manager for the projects of this server, and what projects offer to account managers.

The manager's part (client/acct_mgr.cpp) is served at ``/account_manager/``: somebody who logs in with an
e-mail address and password gets all projects of this server where an account has them. A project can
add elements to its ``<account>`` (``<detach/>``, ``<suspend>1</suspend>``, ``<resource_share>..``, ...) with a
file account_manager.xml in its tree.

The projects' part (html/user/am_get_info.php, am_set_host_info.php) takes account keys.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from sqlalchemy import bindparam, select

from boinc_server import accounts, crypt, models
from boinc_server.hosts import weak_authenticator
from boinc_server.wire import limits
from boinc_server.wire.reader import Reader, WireError, decode, unescape
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.project import Project
    from boinc_server.registry import Registry

PATH: Final = "account_manager"
NAME: Final = "Account manager of this server"
REPEAT_SECONDS: Final = 86400.0
_USER_BY_KEY: Final = select(models.user).where(models.user.c.authenticator == bindparam("key"))
_HOST: Final = select(models.host.c.userid).where(models.host.c.id == bindparam("id"))
_VENUES: Final = frozenset({"", "home", "school", "work"})
_KEY: Final = re.compile(r"[0-9a-f]{32}\Z")


class AccountManager:
    """The account manager of one server."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.url = f"{registry.base_url}{PATH}/"
        self._key: crypt.PrivateKey | None = None

    def key(self) -> crypt.PrivateKey:
        """The key that signs project URLs; clients keep its public half and accept no other."""
        if self._key is None:
            file = Path(self.registry.data) / f"{PATH}_private"
            if not file.exists():
                file.touch(mode=0o600)
                file.write_text(crypt.generate_key().text(), encoding="ascii")
            self._key = crypt.PrivateKey.parse(file.read_text(encoding="ascii"))
        return self._key

    def config(self) -> str:
        """get_project_config.php: the flag is what tells clients that this is a manager."""
        return (
            f"<project_config>\n    <name>{escape(NAME)}</name>\n    <master_url>{escape(self.url)}</master_url>\n    <account_manager/>\n"
            f"    <min_passwd_length>6</min_passwd_length>\n    <account_creation_disabled/>\n    <web_stopped>0</web_stopped>\n"
            "    <sched_stopped>0</sched_stopped>\n</project_config>\n"
        )

    async def rpc(self, body: bytes) -> str:
        """rpc.php: the projects for an ``<acct_mgr_request>``."""
        try:
            name, password_hash, key = _parse(body)
        except WireError:
            return _error(-112, "Invalid XML")
        if key and _KEY.match(key):
            # A key opens its own account only: anybody can make an account with another's address.
            known = self._by_key(key)
            if not known:
                return _error(accounts.ERR_DB_NOT_FOUND, "Not found")
        else:
            candidates = self._by_address(name)
            if not candidates:
                return _error(accounts.ERR_DB_NOT_FOUND, "Not found")
            known = [
                (project, user)
                for project, user in candidates
                if await asyncio.to_thread(accounts.check_password, user.passwd_hash, password_hash)
            ]
            if not known:
                return _error(accounts.ERR_BAD_PASSWD, "Invalid password")
        return self._reply(known)

    def _by_address(self, address: str) -> list[tuple[Project, AnyRow]]:
        found = []
        for project in self.registry:
            with project.transaction() as tx:
                user = accounts.find(tx, address)
            if user is not None:
                found.append((project, user))
        return found

    def _by_key(self, key: str) -> list[tuple[Project, AnyRow]]:
        found = []
        for project in self.registry:
            with project.transaction() as tx:
                user = tx.one(_USER_BY_KEY, key=key)
            if user is not None:
                found.append((project, user))
        return found

    def _reply(self, known: list[tuple[Project, AnyRow]]) -> str:
        key = self.key()
        head = (
            f"<acct_mgr_reply>\n    <name>{escape(NAME)}</name>\n    <user_name>{escape(known[0][1].name)}</user_name>\n"
            f"    <signing_key>\n{key.public.text()}</signing_key>\n    <repeat_sec>{REPEAT_SECONDS:f}</repeat_sec>\n"
        )
        parts = [head]
        for project, user in known:
            file = project.path(f"{PATH}.xml")
            extra = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
            signature = crypt.sign_text(project.master_url, key)
            parts.append(
                f"    <account>\n        <url>{escape(project.master_url)}</url>\n"
                f"        <url_signature>\n{signature}        </url_signature>\n"
                f"        <authenticator>{user.authenticator}</authenticator>\n{extra}\n    </account>\n"
            )
            project.emit("account.manager", user=user.id)
        return "".join([*parts, "</acct_mgr_reply>\n"])


def _error(number: int, text: str) -> str:
    return f"<acct_mgr_reply>\n    <error_num>{number}</error_num>\n    <error_msg>{escape(text)}</error_msg>\n</acct_mgr_reply>\n"


def _parse(body: bytes) -> tuple[str, str, str]:
    """(name, password hash, authenticator) of a request. Raises WireError."""
    text = decode(body)
    start = text.find("<acct_mgr_request>")
    if start < 0 or "</acct_mgr_request>" not in text:
        raise WireError("no acct_mgr_request")
    reader = Reader(text, start + len("<acct_mgr_request>"))
    values = {"name": "", "password_hash": "", "authenticator": ""}
    # The names stand first; projects further down have elements of the same names.
    while (token := reader.next()) is not None and token.text is not None:
        if token.name in values and not values[token.name]:
            values[token.name] = unescape(token.text.strip())[: limits.MAX_STRING]
    return values["name"].lower(), values["password_hash"], values["authenticator"]


# --- what a project offers to account managers


def _user(project: Project, parameters: Mapping[str, str]) -> AnyRow:
    with project.transaction() as tx:
        user = tx.one(_USER_BY_KEY, key=parameters.get("account_key", ""))
    if user is None:
        raise accounts.AccountError(accounts.ERR_DB_NOT_FOUND)
    return user


async def am_get_info(project: Project, parameters: Mapping[str, str]) -> str:
    """am_get_info.php: the account as it is. Raises AccountError."""
    user = _user(project, parameters)
    values: dict[str, Any] = {
        "id": user.id,
        "name": quote_plus(user.name),
        "country": quote_plus(user.country),
        "weak_auth": weak_authenticator(user),
        "cpid": crypt.md5_text(user.cross_project_id + user.email_addr),
        "create_time": user.create_time,
    }
    lines = [f"<{name}>{value}</{name}>" for name, value in values.items()]
    lines += [f"<global_prefs>\n{user.global_prefs}\n</global_prefs>", f"<project_prefs>\n{user.project_prefs}\n</project_prefs>"]
    values = {
        "url": quote_plus(user.url),
        "send_email": user.send_email,
        "show_hosts": user.show_hosts,
        "teamid": user.teamid,
        "venue": escape(user.venue),
    }
    lines += [f"<{name}>{value}</{name}>" for name, value in values.items()]
    return "\n".join(["<am_get_info_reply>", "<success/>", *lines, "</am_get_info_reply>", ""])


async def am_set_info(_project: Project, _parameters: Mapping[str, str]) -> str:
    """am_set_info.php: upstream has switched it off."""
    raise accounts.AccountError(accounts.ERR_GENERIC, "not supported")


async def am_set_host_info(project: Project, parameters: Mapping[str, str]) -> str:
    """am_set_host_info.php: change the venue of one of the user's hosts. Raises AccountError."""
    user = _user(project, parameters)
    text, venue = parameters.get("hostid", ""), parameters.get("venue", "")
    if venue not in _VENUES:
        raise accounts.AccountError(accounts.ERR_GENERIC, "missing or bad parameter: venue")
    host_id = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    with project.transaction() as tx:
        host = tx.one(_HOST, id=host_id)
        if host is None or host.userid != user.id:
            raise accounts.AccountError(accounts.ERR_DB_NOT_FOUND)
        tx.update(models.host, host_id, venue=venue)
    return "<am_set_host_info_reply>\n<success/>\n</am_set_host_info_reply>\n"


PROJECT_RPCS: Final[dict[str, Callable[[Project, Mapping[str, str]], Awaitable[str]]]] = {
    "am_get_info.php": am_get_info,
    "am_set_info.php": am_set_info,
    "am_set_host_info.php": am_set_host_info,
    "create_account.php": accounts.create_account,
    "lookup_account.php": accounts.lookup_account,
}
"""All RPCs that answer with an ``<error>`` element when they fail."""
