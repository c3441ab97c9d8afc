"""Sending and changing the code signing key (sched/handle_request.cpp: send_code_sign_key).

keys/ holds, besides the present pair, for each former key N: old_key_N, signature_N (of the new key's
text as it stands) and signature_stripped_N (of the text without surrounding white space, which is
what clients from 7.0 on keep), both made with the former private key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from boinc_server import crypt, models
from boinc_server.wire.names import is_valid_filename
from boinc_server.wire.reply import translatable

if TYPE_CHECKING:
    from pathlib import Path

    from boinc_server.project import Project
    from boinc_server.rpc import Rpc

_FILE_INFO: Final = re.compile(r"<file_info>.*?</file_info>", re.DOTALL)
_NAME: Final = re.compile(r"<name>\s*([^<\s]+)\s*</name>")
_SIGNATURE: Final = re.compile(r"<file_signature>.*?</file_signature>", re.DOTALL)
KEY_CHANGED: Final = translatable("The project has changed its security key.  Please remove and add this project.")


def send_key(rpc: Rpc) -> bool:
    """Put the key (and its signature) into the reply if the client needs it.

    False when the client has a key that this project never had: no work may be sent then.
    """
    if rpc.project.config.dont_send_code_sign_key:
        return True
    current = rpc.project.keys.code_sign.public.text()
    theirs = rpc.request.code_sign_key
    if not theirs:
        rpc.reply.code_sign_key = current
        return True
    if theirs == current.strip():
        return True
    signature = _signature_for(rpc.project.path("keys"), theirs, stripped=rpc.request.core_client_major_version >= 7)
    if signature is None:
        rpc.reply.insert_message(KEY_CHANGED, "notice")
        return False
    rpc.reply.code_sign_key = current
    rpc.reply.code_sign_key_signature = signature
    return True


def _signature_for(directory: Path, old_key: str, *, stripped: bool) -> str | None:
    number = 0
    while (file := directory / f"old_key_{number}").exists():
        if file.read_text(encoding="ascii").strip() == old_key:
            signature = directory / f"{'signature_stripped' if stripped else 'signature'}_{number}"
            return signature.read_text(encoding="ascii") if signature.exists() else None
        number += 1
    return None


def change_key(project: Project, *, announce: bool = True) -> None:
    """Give the project a new code signing key, and sign the app files again with it.

    All former keys get a signature of the newest key, so that a client may have missed any number of
    changes; their private halves are kept for that in keys/old_private_N.

    Args:
        announce: False leaves the signatures out, as an admin does who lost the old private key.
    """
    directory = project.path("keys")
    number = 0
    while (directory / f"old_key_{number}").exists():
        number += 1
    old = project.keys.code_sign
    keys = crypt.ProjectKeys(crypt.generate_key(), project.keys.upload)
    (directory / f"old_key_{number}").write_text(old.public.text(), encoding="ascii")
    if announce:
        private = directory / f"old_private_{number}"
        private.touch(mode=0o600)
        private.write_text(old.text(), encoding="ascii")
    text = keys.code_sign.public.text()
    for index in range(number + 1):
        former = directory / f"old_private_{index}"
        if not former.exists():
            continue
        key = crypt.PrivateKey.parse(former.read_text(encoding="ascii"))
        (directory / f"signature_{index}").write_text(crypt.sign_text(text, key), encoding="ascii")
        (directory / f"signature_stripped_{index}").write_text(crypt.sign_text(text.strip(), key), encoding="ascii")
    keys.save(directory)
    project.keys = keys
    _sign_again(project)
    project.emit("project.key_changed", announced=announce)


def _sign_again(project: Project) -> None:
    """Renew the ``<file_signature>`` of every app file. Files that are gone keep the old one."""

    def renew(match: re.Match[str]) -> str:
        name = _NAME.search(match.group())
        file = project.path("download", name.group(1)) if name else None
        if file is None or not is_valid_filename(file.name) or not file.is_file():
            return match.group()
        signature = crypt.sign_file(file, project.keys.code_sign)
        return _SIGNATURE.sub(lambda _: f"<file_signature>\n{signature}</file_signature>", match.group())

    with project.transaction() as tx:
        for row in tx.all(select(models.app_version.c.id, models.app_version.c.xml_doc)):
            renewed = _FILE_INFO.sub(renew, row.xml_doc)
            if renewed != row.xml_doc:
                tx.update(models.app_version, row.id, xml_doc=renewed)
    project.catalog.invalidate()
