"""Installing app versions from the tree an admin keeps below apps/ (tools/update_versions, tools/xadd).

``apps/NAME/VERSION/PLATFORM[__PLANCLASS]/`` holds the files of one version and perhaps a version.xml.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from sqlalchemy import bindparam, insert, select

from boinc_server import crypt, models, storage

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.project import Project

PLATFORMS: Final = {
    "x86_64-pc-linux-gnu": "Linux running on an AMD x86_64 or Intel EM64T CPU",
    "i686-pc-linux-gnu": "Linux running on an Intel x86-compatible CPU",
    "aarch64-unknown-linux-gnu": "Linux running on ARM64",
    "arm-unknown-linux-gnueabihf": "Linux running on ARM, hardware FP",
    "windows_x86_64": "Microsoft Windows running on an AMD x86_64 or Intel EM64T CPU",
    "windows_intelx86": "Microsoft Windows running on an Intel x86-compatible CPU",
    "windows_arm64": "Microsoft Windows running on ARM64",
    "x86_64-apple-darwin": "Intel 64-bit Mac OS 10.5 or later",
    "arm64-apple-darwin": "Mac OS running on Apple silicon",
    "aarch64-android-linux-gnu": "Android running on ARM64",
    "x86_64-pc-freebsd__": "FreeBSD running on an AMD x86_64 or Intel EM64T CPU",
    "powerpc-apple-darwin": "Mac OS X 10.3 or later running on Motorola PowerPC",
    "powerpc64-unknown-linux-gnu": "Linux running on 64-bit PowerPC",
    "anonymous": "anonymous",
}
"""Known to every new project, as `bin/xadd` makes them from project.xml."""

_APP_NAME: Final = re.compile(r"[A-Za-z0-9_.+-]{1,128}\Z")
_API_VERSION: Final = re.compile(rb"API_VERSION_(\d+\.\d+\.\d+)(?=[^\x20-\x7e\t]|\Z)")
_APP_COLUMNS: Final = frozenset(c.name for c in models.app.columns) - {"id", "create_time", "name"}
_INSERT_APP: Final = insert(models.app)
_INSERT_PLATFORM: Final = insert(models.platform)
_INSERT_VERSION: Final = insert(models.app_version)
_VERSION: Final = select(models.app_version.c.id).where(
    models.app_version.c.appid == bindparam("appid"),
    models.app_version.c.version_num == bindparam("version_num"),
    models.app_version.c.platformid == bindparam("platformid"),
    models.app_version.c.plan_class == bindparam("plan_class"),
)


class AppVersionError(ValueError):
    """An app or app version that cannot be installed; the message says which file and why."""


@dataclass(slots=True)
class _File:
    physical_name: str
    logical_name: str = ""
    urls: list[str] = field(default_factory=list)
    main_program: bool = False
    copy_file: bool = False
    gzip: bool = False
    present: bool = False
    xml: str = ""

    def ref_xml(self) -> str:
        lines = [f"    <file_name>{self.physical_name}</file_name>"]
        if self.logical_name:
            lines.append(f"    <open_name>{self.logical_name}</open_name>")
        if self.copy_file:
            lines.append("    <copy_file/>")
        if self.main_program:
            lines.append("    <main_program/>")
        return "<file_ref>\n" + "\n".join(lines) + "\n</file_ref>\n"


@dataclass(slots=True)
class _Description:
    """version.xml"""

    files: list[_File] = field(default_factory=list)
    api_version: str = ""
    file_prefix: str = ""
    flags: dict[str, bool] = field(default_factory=dict)


def add_platforms(tx: Transaction) -> None:
    """The platforms every project starts with."""
    for name, friendly in PLATFORMS.items():
        tx.execute(_INSERT_PLATFORM, {"name": name, "user_friendly_name": friendly, "create_time": tx.now})


def add_app(tx: Transaction, name: str, columns: dict[str, Any] | None = None) -> int:
    """Add an app (bin/xadd); returns its id. Raises AppVersionError."""
    columns = dict(columns or {})
    if not _APP_NAME.match(name) or ".." in name:
        raise AppVersionError(f"{name[:80]!r} is no app name: up to 128 letters, digits and _.+-")
    unknown = set(columns) - _APP_COLUMNS
    if unknown:
        raise AppVersionError(f"app {name}: no such column {min(unknown)!r}; there are {', '.join(sorted(_APP_COLUMNS))}")
    if tx.project.catalog.app_named(name) is not None:
        raise AppVersionError(f"there is an app {name} already")
    columns.setdefault("user_friendly_name", name)
    app_id = tx.insert(_INSERT_APP, name=name, create_time=tx.now, **columns)
    tx.project.catalog.invalidate()
    return app_id


def install_sample(tx: Transaction, samples: Path, name: str) -> None:
    """Copy a sample application's tree into the project's apps/ and templates/. Raises AppVersionError."""
    source = samples / name
    if not _APP_NAME.match(name) or not source.is_dir():
        raise AppVersionError(f"there is no sample app {name!r}")
    for entry in source.iterdir():
        if entry.name == "templates":
            for template in entry.iterdir():
                shutil.copy(template, tx.project.path("templates", template.name))
        elif entry.is_dir():
            shutil.copytree(entry, tx.project.path("apps", name, entry.name), dirs_exist_ok=True)


def parse_version(text: str) -> int:
    """The number of a version directory: M.N is 100 M + N, M alone is M. Raises ValueError."""
    major, _, minor = text.partition(".")
    if not major.isdecimal() or (minor and not minor.split(".")[0].isdecimal()):
        raise ValueError(f"{text!r} is no version (M.N)")
    return int(minor.split(".")[0]) + 100 * int(major) if minor else int(major)


def update_versions(tx: Transaction) -> tuple[list[int], list[str]]:
    """Install every app version of the tree that is not installed yet.

    Returns the ids of the new app versions, and what there is to say of the others: an unusable one does
    not keep the rest from being installed.
    """
    added: list[int] = []
    messages: list[str] = []
    root = tx.project.path("apps")
    for app_dir in sorted(p for p in root.iterdir() if p.is_dir()):
        app = tx.project.catalog.app_named(app_dir.name)
        if app is None:
            messages.append(f"apps/{app_dir.name}: there is no such app; add it first")
            continue
        for version_dir in sorted(p for p in app_dir.iterdir() if p.is_dir()):
            try:
                number = parse_version(version_dir.name)
            except ValueError as error:
                messages.append(f"apps/{app_dir.name}/{version_dir.name}: {error}")
                continue
            for platform_dir in sorted(p for p in version_dir.iterdir() if p.is_dir()):
                where = f"apps/{app_dir.name}/{version_dir.name}/{platform_dir.name}"
                try:
                    version_id = _install(tx, app.id, app.name, number, platform_dir)
                except (AppVersionError, storage.BadFilenameError, OSError) as error:
                    messages.append(f"{where}: {error}")
                    tx.project.log.warning("update_versions: %s: %s", where, error)
                    continue
                if version_id is not None:
                    added.append(version_id)
    if added:
        tx.project.catalog.invalidate()
    return added, messages


def _install(tx: Transaction, appid: int, app_name: str, number: int, directory: Path) -> int | None:
    """Install one version directory; None when it is installed already."""
    platform_name, _, plan_class = directory.name.partition("__")
    platform = tx.project.catalog.platforms().get(platform_name)
    if platform is None:
        raise AppVersionError(f"there is no platform {platform_name!r} in this project")
    key = {"appid": appid, "version_num": number, "platformid": platform.id, "plan_class": plan_class}
    if tx.one(_VERSION, **key) is not None:
        return None
    description = _read_description(directory / "version.xml")
    for file in sorted(directory.iterdir()):
        if file.is_file() and file.name != "version.xml" and not file.name.endswith(".sig") and not file.name.startswith("."):
            _add_file(tx.project, file, description)
    missing = [f.physical_name for f in description.files if not f.present]
    if missing:
        raise AppVersionError(f"file {missing[0]} is listed in version.xml but not present")
    files = description.files
    if len(files) == 1:
        files[0].main_program = True
    main = [f for f in files if f.main_program]
    if len(main) != 1:
        raise AppVersionError(f"{'no file' if not main else 'more than one file'} is marked as the main program in version.xml")
    for file_entry in files:
        _describe(tx.project, directory / file_entry.physical_name, file_entry)
    api_version = description.api_version or find_api_version(directory / main[0].physical_name)
    xml = [f.xml for f in files]
    xml.append(f"<app_version>\n    <app_name>{app_name}</app_name>\n    <version_num>{number}</version_num>\n")
    if api_version:
        xml.append(f"    <api_version>{api_version}</api_version>\n")
    if description.file_prefix:
        xml.append(f"    <file_prefix>{description.file_prefix}</file_prefix>\n")
    xml += [f"    <{flag}/>\n" for flag in ("dont_throttle", "needs_network", "is_wrapper") if description.flags.get(flag)]
    xml += [f.ref_xml() for f in files]
    xml.append("</app_version>\n")
    return tx.insert(
        _INSERT_VERSION, **key, create_time=tx.now, xml_doc="".join(xml), beta=int(description.flags.get("beta", False)), pfc_scale=1.0
    )


def _read_description(path: Path) -> _Description:
    description = _Description()
    if not path.exists():
        return description
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise AppVersionError("version.xml must not contain a document type or entities")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise AppVersionError(f"version.xml: {error}") from error
    if root.tag != "version":
        raise AppVersionError(f"version.xml: expected <version>, found <{root.tag}>")
    for flag in ("dont_throttle", "needs_network", "is_wrapper", "beta"):
        description.flags[flag] = _flag(root, flag)
    description.api_version = (root.findtext("api_version") or "").strip()
    description.file_prefix = (root.findtext("file_prefix") or "").strip()
    for element in root.findall("file"):
        name = (element.findtext("physical_name") or "").strip()
        if not name:
            raise AppVersionError("version.xml: a <file> has no <physical_name>")
        description.files.append(
            _File(
                name,
                (element.findtext("logical_name") or "").strip(),
                [(u.text or "").strip() for u in element.findall("url")],
                _flag(element, "main_program"),
                _flag(element, "copy_file"),
                _flag(element, "gzip"),
            )
        )
    return description


def _flag(element: ElementTree.Element, name: str) -> bool:
    """As update_versions: present and empty, or a number above 0."""
    for child in element.findall(name):
        text = (child.text or "").strip()
        if not text or (text.isdecimal() and int(text) > 0):
            return True
    return False


def _add_file(project: Project, path: Path, description: _Description) -> None:
    storage.check_name(path.name)
    entry = next((f for f in description.files if f.physical_name == path.name), None)
    if entry is None:
        entry = _File(path.name)
        description.files.append(entry)
    entry.present = True
    staged = project.path("download", path.name)
    if staged.exists() and crypt.md5_file(staged) != crypt.md5_file(path):
        raise AppVersionError(f"files {path.name} and download/{path.name} differ: BOINC's files are immutable, give it a new name")


def _describe(project: Project, path: Path, entry: _File) -> None:
    """Stage and sign one file, and write its <file_info>."""
    signature_file = path.with_name(path.name + ".sig")
    if signature_file.exists():
        signature = signature_file.read_text(encoding="ascii", errors="replace")
    else:
        signature = crypt.sign_file(path, project.keys.code_sign)
    staged = project.path("download", path.name)
    if not staged.exists():
        temporary = staged.with_name(f".{path.name}.{os.getpid()}.part")
        shutil.copyfile(path, temporary)
        temporary.replace(staged)
    gzipped = 0
    if entry.gzip:
        packed = staged.with_name(staged.name + ".gz")
        if not packed.exists():
            with path.open("rb") as source, gzip.GzipFile(packed, "wb", mtime=0) as target:
                shutil.copyfileobj(source, target)
        gzipped = packed.stat().st_size
    lines = [f"    <name>{path.name}</name>"]
    for url in entry.urls or [f"{project.download_url}/{path.name}"]:
        lines.append(f"    <url>{url}</url>")
        if entry.gzip:
            lines.append(f"    <gzipped_url>{url}.gz</gzipped_url>")
    if entry.main_program or path.stat().st_mode & 0o100:
        lines.append("    <executable/>")
    lines.append(f"    <file_signature>\n{signature.strip()}\n    </file_signature>")
    lines.append(f"    <nbytes>{path.stat().st_size}</nbytes>")
    if entry.gzip:
        lines.append(f"    <gzipped_nbytes>{gzipped}</gzipped_nbytes>")
    entry.xml = "<file_info>\n" + "\n".join(lines) + "\n</file_info>\n"


def find_api_version(path: Path) -> str:
    """The API version that the BOINC library leaves in a program as a string; "" when there is none."""
    with path.open("rb") as program:
        tail = b""
        while chunk := program.read(1 << 20):
            found = _API_VERSION.search(tail + chunk)
            if found is not None:
                return found.group(1).decode()
            tail = chunk[-64:]
    return ""
