"""Accounts and their web RPCs: get_project_config, create_account, lookup_account (html/user/*.php).

The password as sent is lower-case hex MD5 of password + lower-case e-mail; stored is a salted, slow
hash of that, as the stock server stores a bcrypt.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from boinc_server import __version__, crypt, mail, models
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project

# lib/error_numbers.h
ERR_GENERIC: Final = -1
ERR_DB_NOT_FOUND: Final = -136
ERR_DB_NOT_UNIQUE: Final = -137
ERR_PROJECT_DOWN: Final = -183
ERR_BAD_USER_NAME: Final = -188
ERR_BAD_EMAIL_ADDR: Final = -205
ERR_BAD_PASSWD: Final = -206
ERR_ACCT_REQUIRE_CONSENT: Final = -242

MESSAGES: Final = {
    ERR_DB_NOT_FOUND: "Not found",
    ERR_DB_NOT_UNIQUE: "Name or email address is not unique",
    ERR_PROJECT_DOWN: "Project is temporarily offline",
    ERR_BAD_EMAIL_ADDR: "Email address has invalid syntax",
    ERR_BAD_PASSWD: "Invalid password",
}
SERVER_VERSION: Final = f"8.3.0-embedded-{__version__}"
ITERATIONS: Final = 10_000
TOKEN_SECONDS: Final = 86400
TOKEN_VERIFY: Final = "V"
TOKEN_PASSWORD: Final = "P"

_u = models.user.c
_BY_EMAIL: Final = select(models.user).where(_u.email_addr == bindparam("email"))
_BY_ID: Final = select(models.user).where(_u.id == bindparam("id"))
_INSERT: Final = insert(models.user)
_TEAM: Final = select(models.team.c.id, models.team.c.joinable).where(models.team.c.name == bindparam("name"))
_TOKEN: Final = select(models.token).where(models.token.c.token == bindparam("token"))
_HEX32: Final = re.compile(r"[0-9a-f]{32}\Z")
_SPECIAL: Final = re.compile(r"[\x00-\x1f\x7f\"'<>&]|[\ud800-\udfff]")


class AccountError(Exception):
    """A web RPC that fails with one of BOINC's numbers."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or MESSAGES.get(number, "Unknown error"))
        self.number = number


def passwd_hash(email: str, password: str) -> str:
    """What a client sends for a password."""
    return crypt.md5_text(password + email.lower())


def stored_hash(sent: str) -> str:
    """What is stored for a password as sent."""
    salt = secrets.token_hex(8)
    return f"pbkdf2${salt}${_derive(sent, salt)}"


def _derive(sent: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", sent.encode("utf-8", "replace"), salt.encode(), ITERATIONS).hex()


def check_password(stored: str, sent: str) -> bool:
    """True when `sent` is the password whose hash is stored."""
    scheme, _, rest = stored.partition("$")
    salt, _, digest = rest.partition("$")
    return scheme == "pbkdf2" and hmac.compare_digest(_derive(sent, salt), digest)


def check_name(name: str) -> str:
    """The user name, if it may be one (html/inc/user_util.inc). Raises AccountError."""
    if name.strip() != name:
        raise AccountError(ERR_BAD_USER_NAME, "user name cannot have leading or trailing white space")
    if not name:
        raise AccountError(ERR_BAD_USER_NAME, "user name must be nonempty")
    if _SPECIAL.search(name) or len(name) > 254:
        raise AccountError(ERR_BAD_USER_NAME, "user name may not contain special characters")
    try:
        float(name)
    except ValueError:
        return name
    raise AccountError(ERR_BAD_USER_NAME, "user name may not be a number")


def find(tx: Transaction, email: str) -> AnyRow | None:
    """The account of an e-mail address; capitals make no difference."""
    return tx.one(_BY_EMAIL, email=email.lower())


def create(project: Project, email: str, sent_hash: str, name: str, *, verify: bool = True) -> AnyRow:
    """Make an account.

    Args:
        sent_hash: `passwd_hash` of the password.
        verify: mail the link that confirms the address, if the project does that at all.

    Raises AccountError: bad name or address, hash not of 32 hex digits, address taken.
    """
    email = email.lower()
    check_name(name)
    try:
        mail.check_address(email)
    except mail.BadAddressError:
        raise AccountError(ERR_BAD_EMAIL_ADDR) from None
    if not _HEX32.match(sent_hash):
        raise AccountError(ERR_GENERIC, "password hash length not 32")
    return _insert(project, email, stored_hash(sent_hash), name, verify)


def _insert(project: Project, email: str, hashed: str, name: str, verify: bool = True) -> AnyRow:
    try:
        with project.transaction() as tx:
            user_id = tx.insert(
                _INSERT,
                create_time=tx.now,
                email_addr=email,
                name=name,
                authenticator=secrets.token_hex(16),
                cross_project_id=secrets.token_hex(16),
                passwd_hash=hashed,
                country="International",
                expavg_time=float(tx.now),
                global_prefs="",
                project_prefs="",
            )
            tx.emit("account.created", user=user_id, email=email, name=name)
            user = tx.one(_BY_ID, id=user_id)
            assert user is not None
    except IntegrityError:
        raise AccountError(ERR_DB_NOT_UNIQUE) from None
    if verify and project.config.verify_email:
        send_verification(project, user)
    return user


def new_token(tx: Transaction, user_id: int, kind: str) -> str:
    """A random token for a link in a mail."""
    token = secrets.token_hex(16)
    tx.execute(insert(models.token), {"token": token, "userid": user_id, "type": kind, "create_time": tx.now})
    return token


def token_user(tx: Transaction, token: str, kind: str, *, use: bool) -> AnyRow | None:
    """The user a token was made for, None when it is unknown, used or older than a day."""
    row = tx.one(_TOKEN, token=token)
    if row is None or row.type != kind or tx.now - row.create_time > TOKEN_SECONDS:
        return None
    if use:
        tx.execute(delete(models.token).where(models.token.c.token == token))
    return tx.one(_BY_ID, id=row.userid)


def send_verification(project: Project, user: AnyRow) -> None:
    """Mail the link that confirms an account's address."""
    with project.transaction() as tx:
        token = new_token(tx, user.id, TOKEN_VERIFY)
    link = f"{project.master_url}validate_email_addr.php?token={token}"
    mail.account_verification(project, user.email_addr, user.name, link)
    project.emit("account.mail", user=user.id, reason="verification")


def send_forgotten_password(project: Project, email: str) -> None:
    """Mail a link to set a new password; nothing when there is no such account, and nobody can tell."""
    with project.transaction() as tx:
        user = find(tx, email)
        if user is None:
            return
        token = new_token(tx, user.id, TOKEN_PASSWORD)
    mail.forgotten_password(project, user.email_addr, user.name, f"{project.master_url}reset_password.php?token={token}")
    project.emit("account.mail", user=user.id, reason="forgotten password")


def verify_address(project: Project, token: str) -> AnyRow | None:
    """Mark the address confirmed that `token` was mailed to."""
    with project.transaction() as tx:
        user = token_user(tx, token, TOKEN_VERIFY, use=True)
        if user is not None:
            tx.execute(update(models.user).where(_u.id == user.id).values(email_validated=1))
            tx.emit("account.verified", user=user.id, email=user.email_addr)
    return user


def set_password(project: Project, token: str, password: str) -> bool:
    """Set a new password with a mailed token; False when the token is no good."""
    with project.transaction() as tx:
        user = token_user(tx, token, TOKEN_PASSWORD, use=True)
        if user is None:
            return False
        hashed = stored_hash(passwd_hash(user.email_addr, password))
        tx.execute(update(models.user).where(_u.id == user.id).values(passwd_hash=hashed))
        tx.emit("account.password", user=user.id)
    return True


# --- the web RPCs


def error_xml(number: int, message: str = "") -> str:
    """``<error>`` as html/inc/util_basic.inc: xml_error writes it."""
    text = message or MESSAGES.get(number, "Unknown error")
    return f"<error>\n    <error_num>{number}</error_num>\n    <error_msg>{escape(text)}</error_msg>\n</error>\n"


def _required(params: Mapping[str, str], name: str) -> str:
    value = params.get(name)
    if value is None:
        raise AccountError(ERR_GENERIC, f"missing or bad parameter: {name}")
    return value


def _account_out(user: AnyRow) -> str:
    return f"<account_out>\n<authenticator>{user.authenticator}</authenticator>\n</account_out>\n"


async def create_account(project: Project, params: Mapping[str, str]) -> str:
    """create_account.php. Repeating it with the same password returns the account again.

    Raises AccountError.
    """
    config = project.config
    if config.disable_account_creation:
        raise AccountError(ERR_GENERIC, "The project is not accepting new accounts.")
    if config.disable_account_creation_rpc:
        elsewhere = "Please visit the project web site to create an account, then try again."
        raise AccountError(ERR_GENERIC, "The project is not accepting new accounts." if config.no_web_account_creation else elsewhere)
    if config.invite_codes and not re.search(config.invite_codes, _required(params, "invite_code")):
        raise AccountError(ERR_GENERIC, "Invalid invitation code")
    email = _required(params, "email_addr").lower()
    sent = _required(params, "passwd_hash")
    name = check_name(_required(params, "user_name"))
    try:
        mail.check_address(email)
    except mail.BadAddressError:
        raise AccountError(ERR_BAD_EMAIL_ADDR) from None
    if len(sent.encode("utf-8", "replace")) != 32:
        raise AccountError(ERR_GENERIC, "password hash length not 32")
    with project.transaction() as tx:
        user = find(tx, email)
    if user is None and config.account_creation_rpc_require_consent and not ("consent_flag" in params and params.get("source")):
        raise AccountError(ERR_ACCT_REQUIRE_CONSENT, "This project requires your consent to its terms of use: register on its web site.")
    if user is None:
        # The hash takes milliseconds by design: not on the loop that serves everybody.
        user = _insert(project, email, await asyncio.to_thread(stored_hash, sent), name)
    elif not await asyncio.to_thread(check_password, user.passwd_hash, sent):
        raise AccountError(ERR_DB_NOT_UNIQUE)
    _join_team(project, user, params.get("team_name", ""))
    return _account_out(user)


def _join_team(project: Project, user: AnyRow, team: str) -> None:
    if not team:
        return
    with project.transaction() as tx:
        row = tx.one(_TEAM, name=team)
        if row is not None and row.joinable:
            tx.execute(update(models.user).where(_u.id == user.id).values(teamid=row.id))


async def lookup_account(project: Project, params: Mapping[str, str]) -> str:
    """lookup_account.php; without passwd_hash it only tells whether the account exists.

    Raises AccountError.
    """
    email = _required(params, "email_addr")
    sent = params.get("passwd_hash", "")
    with project.transaction() as tx:
        user = find(tx, email)
    if user is None:
        raise AccountError(ERR_DB_NOT_FOUND)
    if not sent:
        return "<account_out>\n   <success/>\n</account_out>\n"
    by_key = hmac.compare_digest(crypt.md5_text(user.authenticator + user.email_addr).encode(), sent.encode("utf-8", "replace"))
    if not by_key and not await asyncio.to_thread(check_password, user.passwd_hash, sent):
        raise AccountError(ERR_BAD_PASSWD)
    return _account_out(user)


def project_config(project: Project) -> str:
    """get_project_config.php; works while the project is down."""
    config = project.config
    lines = [
        "<project_config>",
        f"    <name>{escape(project.long_name)}</name>",
        f"    <master_url>{escape(config.master_url or project.master_url)}</master_url>",
        f"    <web_rpc_url_base>{escape(project.master_url)}</web_rpc_url_base>",
        f"    <server_version>{SERVER_VERSION}</server_version>",
    ]
    if config.account_manager:
        lines.append("    <account_manager/>")
    if config.stop_web:
        lines += [f"    <error_num>{ERR_PROJECT_DOWN}</error_num>", "    <web_stopped>1</web_stopped>"]
    else:
        lines.append("    <web_stopped>0</web_stopped>")
    if config.disable_account_creation or config.invite_codes:
        lines.append("    <account_creation_disabled/>")
    if config.invite_codes:
        lines.append("    <invite_code_required/>")
    lines += [
        f"    <min_passwd_length>{config.min_passwd_length}</min_passwd_length>",
        f"    <sched_stopped>{int(config.stop_sched)}</sched_stopped>",
    ]
    if config.min_core_client_version:
        lines.append(f"    <min_client_version>{config.min_core_client_version}</min_client_version>")
    lines.append("    <platforms>")
    lines += _platforms(project)
    lines.append("    </platforms>")
    terms = project.path("terms_of_use.txt")
    if terms.exists() and (text := terms.read_text(encoding="utf-8", errors="replace").strip()):
        lines.append(f"    <terms_of_use>\n{escape(text)}\n    </terms_of_use>")
    return "\n".join([*lines, "</project_config>", ""])


def _platforms(project: Project) -> list[str]:
    platforms = project.catalog.platforms()
    versions = [version for app in project.catalog.apps() if not app.deprecated for version in project.catalog.versions_of(app.id)]
    lines = []
    for name, plan_class in sorted({(version.platform, version.plan_class) for version in versions}):
        row = platforms.get(name)
        if row is None:
            continue
        plan = f"<plan_class>{escape(plan_class)}</plan_class>" if plan_class else ""
        lines.append(
            f"        <platform><platform_name>{escape(name)}</platform_name>"
            f"<user_friendly_name>{escape(row.user_friendly_name)}</user_friendly_name>{plan}</platform>"
        )
    return lines
