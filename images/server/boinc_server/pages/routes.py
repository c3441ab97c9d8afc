"""The pages volunteers see, by the names they have upstream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from boinc_server import accounts, host_merge, models
from boinc_server.hosts import weak_authenticator
from boinc_server.pages import session
from boinc_server.pages.render import HTML, PAGE_SIZE, STYLE, message, offset, page, tags
from boinc_server.pages.status import counts, status_xml

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project
    from boinc_server.public import Request

_h, _r, _w = models.host.c, models.result.c, models.workunit.c
_TASK: Final = (
    select(_r.id, _r.name, _r.workunitid, _r.hostid, _r.server_state, _r.outcome, _r.validate_state, _r.client_state)
    .add_columns(_r.sent_time, _r.received_time, _r.report_deadline, _r.elapsed_time, _r.cpu_time, _r.granted_credit, _r.exit_status)
    .add_columns(models.app.c.user_friendly_name.label("app"))
    .join_from(models.result, models.app, models.app.c.id == _r.appid, isouter=True)
    .order_by(_r.id.desc())
)
Handler = Callable[["Project", "Request"], Awaitable[None]]


async def handle(project: Project, request: Request, name: str) -> bool:
    """Answer a page; False when there is none of that name."""
    handler = PAGES.get(name)
    if handler is None:
        return False
    if request.method not in {"GET", "HEAD", "POST"}:
        await message(request, "Not possible", f"{request.method} is not possible here.", 405)
        return True
    await handler(project, request)
    return True


async def index(project: Project, request: Request) -> None:
    with project.transaction() as tx:
        numbers = counts(tx)
    user, apps = session.current_user(request), project.catalog.apps()
    await page(request, "index.html", user=user, tags=tags(project), numbers=numbers, apps=apps)


async def style(_project: Project, request: Request) -> None:
    await request.reply(STYLE, "text/css; charset=utf-8", 200, [(b"cache-control", b"max-age=3600")])


async def server_status(project: Project, request: Request) -> None:
    with project.transaction() as tx:
        numbers = counts(tx)
    if request.query.get("xml"):
        await request.reply(status_xml(project, numbers).encode(), "text/xml; charset=utf-8")
        return
    await page(request, "server_status.html", user=session.current_user(request), numbers=numbers)


async def create_account_form(project: Project, request: Request) -> None:
    problem, values = "", {"email_addr": "", "user_name": ""}
    if request.method == "POST":
        form = await request.parameters(65536)
        values = {key: form.get(key, "")[:254] for key in values}
        password = form.get("passwd", "")
        try:
            if project.config.disable_account_creation or project.config.invite_codes:
                raise accounts.AccountError(accounts.ERR_GENERIC, "The project is not accepting new accounts.")
            if len(password) < project.config.min_passwd_length:
                short = f"Passwords have at least {project.config.min_passwd_length} characters."
                raise accounts.AccountError(accounts.ERR_BAD_PASSWD, short)
            sent = accounts.passwd_hash(values["email_addr"], password)
            user = accounts.create(project, values["email_addr"], sent, values["user_name"])
        except accounts.AccountError as error:
            problem = str(error)
        else:
            await request.redirect("home.php", 303, session.log_in(request, user))
            return
    await page(request, "create_account.html", 400 if problem else 200, problem=problem, values=values)


async def login_form(project: Project, request: Request) -> None:
    problem = ""
    if request.method == "POST":
        form = await request.parameters(65536)
        email = form.get("email_addr", "")
        with project.transaction() as tx:
            user = accounts.find(tx, email)
        if user is not None and accounts.check_password(user.passwd_hash, accounts.passwd_hash(email, form.get("passwd", ""))):
            await request.redirect("home.php", 303, session.log_in(request, user))
            return
        problem = "No account has this e-mail address and password."
    await page(request, "login.html", 403 if problem else 200, problem=problem)


async def logout(_project: Project, request: Request) -> None:
    await request.redirect("index.php", 303, session.log_out(request))


async def get_passwd(project: Project, request: Request) -> None:
    if request.method == "POST":
        form = await request.parameters(65536)
        accounts.send_forgotten_password(project, form.get("email_addr", "")[:254])
        # The same words whether there is such an account or not.
        await message(request, "Mail sent", "If there is an account with this address, a mail with a link is on its way to it.")
        return
    await page(request, "get_passwd.html")


async def reset_password(project: Project, request: Request) -> None:
    form = await request.parameters(65536)
    token = form.get("token", "")[:64]
    if request.method != "POST":
        await page(request, "reset_password.html", token=token, problem="")
        return
    password = form.get("passwd", "")
    if len(password) < project.config.min_passwd_length:
        problem = f"Passwords have at least {project.config.min_passwd_length} characters."
        await page(request, "reset_password.html", 400, token=token, problem=problem)
    elif accounts.set_password(project, token, password):
        await message(request, "Password changed", "Your new password is set.")
    else:
        await message(request, "Link not valid", "The link has been used, or is older than a day. Ask for a new one.", 403)


async def validate_email_addr(project: Project, request: Request) -> None:
    user = accounts.verify_address(project, request.query.get("token", "")[:64])
    if user is None:
        await message(request, "Link not valid", "The link has been used, or is older than a day.", 403)
    else:
        await message(request, "Address verified", f"The address {user.email_addr} is verified. Thank you.")


def for_users(handler: Callable[[Project, Request, AnyRow], Awaitable[None]]) -> Handler:
    """A page for those who are logged in; others are sent to the log-in form."""

    async def checked(project: Project, request: Request) -> None:
        user = session.current_user(request)
        if user is None:
            await request.redirect("login_form.php", 303)
        else:
            await handler(project, request, user)

    return checked


async def home(project: Project, request: Request, user: AnyRow) -> None:
    with project.transaction() as tx:
        hosts = tx.one(select(func.count()).where(_h.userid == user.id))
    await page(request, "home.html", user=user, weak_key=weak_authenticator(user), n_hosts=hosts[0] if hosts else 0)


async def hosts_user(project: Project, request: Request, user: AnyRow) -> None:
    start = offset(request.query)
    with project.transaction() as tx:
        hosts = tx.all(select(models.host).where(_h.userid == user.id).order_by(_h.id.desc()).limit(PAGE_SIZE).offset(start))
    await page(request, "hosts.html", user=user, hosts=hosts, start=start, step=PAGE_SIZE)


def _own_host(tx: Transaction, host_id: int, user: AnyRow) -> AnyRow | None:
    return tx.one(select(models.host).where(_h.id == host_id, _h.userid == user.id))


async def show_host_detail(project: Project, request: Request, user: AnyRow) -> None:
    with project.transaction() as tx:
        host = _own_host(tx, offset(request.query, "hostid"), user)
    if host is None:
        await message(request, "No such computer", "You have no computer of this number.", 404)
        return
    await page(request, "host.html", user=user, host=host)


async def host_edit_form(project: Project, request: Request, user: AnyRow) -> None:
    """Merge other records of the same computer with one; what cannot be merged says why."""
    number, problem = offset(request.query, "hostid"), ""
    if request.method == "POST":
        form = await request.parameters(65536)
        try:
            with project.transaction() as tx:
                if _own_host(tx, offset(form, "with"), user) is None:
                    raise host_merge.HostsNotMergedError("Choose one of your other computers.")
                number = host_merge.merge(tx, number, offset(form, "with"))
        except host_merge.HostsNotMergedError as error:
            problem = str(error)
        else:
            await request.redirect(f"show_host_detail.php?hostid={number}", 303)
            return
    with project.transaction() as tx:
        host = _own_host(tx, number, user)
        others = tx.all(select(models.host).where(_h.userid == user.id, _h.id != number).order_by(_h.id.desc()).limit(PAGE_SIZE))
        records = [(other, host_merge.obstacle(tx, host, other)) for other in others] if host is not None else []
    if host is None:
        await message(request, "No such computer", "You have no computer of this number.", 404)
        return
    await page(request, "host_merge.html", 400 if problem else 200, user=user, host=host, records=records, problem=problem)


async def results(project: Project, request: Request, user: AnyRow) -> None:
    """Tasks of one computer, or of all of the user's."""
    start, host_id = offset(request.query), offset(request.query, "hostid")
    query = _TASK.where(_r.userid == user.id).limit(PAGE_SIZE).offset(start)
    if host_id:
        query = query.where(_r.hostid == host_id)
    with project.transaction() as tx:
        tasks = None if host_id and _own_host(tx, host_id, user) is None else tx.all(query)
    if tasks is None:
        await message(request, "No such computer", "You have no computer of this number.", 404)
        return
    await page(request, "results.html", user=user, tasks=tasks, host_id=host_id, start=start, step=PAGE_SIZE)


async def result(project: Project, request: Request, user: AnyRow) -> None:
    with project.transaction() as tx:
        task: Any = tx.one(select(models.result).where(_r.id == offset(request.query, "resultid"), _r.userid == user.id))
    if task is None:
        await message(request, "No such task", "You have no task of this number.", 404)
        return
    await page(request, "result.html", user=user, task=task)


PAGES: Final[dict[str, Handler]] = {
    "": index,
    "index.php": index,
    "style.css": style,
    "server_status.php": server_status,
    "create_account_form.php": create_account_form,
    "login_form.php": login_form,
    "logout.php": logout,
    "get_passwd.php": get_passwd,
    "reset_password.php": reset_password,
    "validate_email_addr.php": validate_email_addr,
    "home.php": for_users(home),
    "hosts_user.php": for_users(hosts_user),
    "show_host_detail.php": for_users(show_host_detail),
    "host_edit_form.php": for_users(host_edit_form),
    "results.php": for_users(results),
    "result.php": for_users(result),
}
__all__ = ["HTML", "PAGES", "handle"]
