"""Preferences and the other user-level parts of a reply (sched/handle_request.cpp: handle_global_prefs)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from boinc_server import crypt, models
from boinc_server.wire.parse import parse_global_prefs
from boinc_server.wire.reply import escape
from boinc_server.wire.request import GlobalPrefs

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.rpc import Rpc

_TEAM: Final = select(models.team.c.name).where(models.team.c.id == bindparam("id"))
_GPU_TYPES: Final = {"cuda": "NVIDIA", "nvidia": "NVIDIA", "ati": "ATI", "amd": "ATI", "intel_gpu": "intel_gpu", "apple_gpu": "apple_gpu"}


def inner(xml: str, tag: str) -> str:
    """The contents of the outermost `tag` in `xml`, or all of it when the tag is missing."""
    start = xml.find(f"<{tag}>")
    end = xml.rfind(f"</{tag}>")
    return xml[start + len(tag) + 2 : end].strip() if 0 <= start < end else xml.strip()


def team_name(tx: Transaction, team_id: int) -> str:
    row = tx.one(_TEAM, id=team_id)
    return str(row[0]) if row else ""


def store_user(tx: Transaction, user_id: int, values: dict[str, Any]) -> None:
    """Change columns of a user."""
    tx.execute(update(models.user).where(models.user.c.id == user_id).values(**values))


def handle(rpc: Rpc, *, weak_auth: bool) -> None:
    """Choose the preferences to decide by, keep newer ones of the client, send newer ones of ours."""
    request, user, now = rpc.request, rpc.user, float(rpc.now)
    working = request.working_global_preferences
    master = parse_global_prefs(request.global_preferences) if request.global_preferences else None
    ours = parse_global_prefs(inner(user.global_prefs, "global_preferences"), rpc.host.venue) if user.global_prefs else None
    master_time = min(master.mod_time, now) if master else 0.0
    working_time = min(working.mod_time, now) if working else 0.0
    our_time = min(ours.mod_time, now) if ours else 0.0
    if working is not None:
        rpc.prefs = working
    elif master is not None:
        rpc.prefs = ours if ours is not None and our_time > master_time else master
    else:
        rpc.prefs = ours or GlobalPrefs()
    same_account = request.global_prefs_source_email_hash == crypt.md5_text(user.email_addr)
    if master is not None and same_account and not weak_auth and (ours is None or master_time > our_time):
        store_user(rpc.tx, user.id, {"global_prefs": f"<global_preferences>\n{master.raw}\n</global_preferences>\n"})
    if ours is not None and our_time > master_time and our_time > working_time:
        rpc.reply.global_preferences = inner(user.global_prefs, "global_preferences")


def processor_type(plan_class: str) -> str:
    """The processor type of a plan class by its name: CPU, NVIDIA, ATI, intel_gpu or apple_gpu."""
    return next((kind for part, kind in _GPU_TYPES.items() if part in plan_class), "CPU")


def add_urls(rpc: Rpc) -> None:
    """gui_urls.xml, project_files.xml and rss_feeds.xml of the project, and which resources have no apps here."""
    root = str(rpc.project.root)
    if gui_urls := _file(root, "gui_urls.xml"):
        values = {
            "<userid/>": str(rpc.user.id),
            "<user_name/>": escape(rpc.user.name),
            "<hostid/>": str(rpc.host.id),
            "<teamid/>": str(rpc.user.teamid),
            "<authenticator/>": rpc.user.authenticator,
        }
        for macro, value in values.items():
            gui_urls = gui_urls.replace(macro, value)
        rpc.reply.gui_urls = gui_urls
    rpc.reply.project_files = _file(root, "project_files.xml")
    rpc.reply.rss_feeds = _file(root, "rss_feeds.xml")
    catalog = rpc.project.catalog
    have = {processor_type(version.plan_class) for app in catalog.apps() for version in catalog.versions_of(app.id)}
    theirs = ["CPU", *(coproc.type for coproc in rpc.request.coprocs if coproc.count > 0 and coproc.type)]
    # Never say it of all the client's resources: it would not come back.
    if any(kind in have for kind in theirs):
        rpc.reply.no_rsc_apps = [kind for kind in dict.fromkeys(theirs) if kind not in have]


def _file(root: str, name: str) -> str:
    """A file of the project's tree, "" when there is none; read again when it has changed."""
    path = Path(root, name)
    try:
        info = path.stat()
    except OSError:
        return ""
    return _read(path, info.st_ino, info.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, _inode: int, _mtime: int) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
