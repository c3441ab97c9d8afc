"""Input and output templates as admins write them.

The rules, including the odd ones, are those of tools/process_input_template.cpp and
tools/process_result_template.cpp: files are assigned by position, numbers in the template are ignored,
whatever is not known is handed on to the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from boinc_server import crypt, storage
from boinc_server.models import BLOB_SIZE
from boinc_server.wire.reader import Reader, Token, WireError, boolean, double, integer, unescape

if TYPE_CHECKING:
    from boinc_server.project import Project

_NUMBERS: Final = ("rsc_fpops_est", "rsc_fpops_bound", "rsc_memory_bound", "rsc_bandwidth_bound", "rsc_disk_bound")
_COUNTS: Final = (
    "batch",
    "delay_bound",
    "min_quorum",
    "target_nresults",
    "max_error_results",
    "max_total_results",
    "max_success_results",
    "size_class",
)


class TemplateError(ValueError):
    """A template or the files given for it are wrong.

    Args:
        template: which template ("input template", "output template").
        what: what is wrong with it.
        line: the line in the template, 0 when it is about the whole.
    """

    def __init__(self, template: str, what: str, line: int = 0) -> None:
        super().__init__(f"{template}{f', line {line}' if line else ''}: {what}")
        self.template = template
        self.line = line


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file given for a job: staged on the server by name, or remote when it has a URL."""

    name: str
    url: str = ""
    nbytes: float = 0.0
    md5: str = ""


@dataclass(slots=True)
class JobDescription:
    """What an input template makes of a job: columns of the workunit, and its XML."""

    columns: dict[str, Any] = field(default_factory=dict)
    xml_doc: str = ""


class _InputTemplate:
    def __init__(self, project: Project, text: str, files: Sequence[InputFile], command_line: str) -> None:
        self.project = project
        self.text = text
        self.reader = Reader(text)
        self.given = files
        self.used = 0
        self.command_line = command_line
        self.names: list[str] = []
        self.out: list[str] = []
        self.job = JobDescription()

    def error(self, what: str) -> TemplateError:
        return TemplateError("input template", what, self.text.count("\n", 0, self.reader.pos) + 1)

    def process(self) -> JobDescription:
        found = False
        try:
            while (token := self.reader.next()) is not None:
                if token.is_end:
                    continue
                if token.name == "file_info":
                    self.file_info(token)
                elif token.name == "workunit":
                    found = True
                    self.workunit(token)
        except WireError as error:
            raise self.error(error.what) from error
        if not found:
            raise TemplateError("input template", "there is no <workunit>")
        if self.used != len(self.given):
            raise TemplateError("input template", f"{len(self.given)} input files given, but the template has {self.used}")
        self.job.xml_doc = "".join(self.out)
        if len(self.job.xml_doc) >= BLOB_SIZE:
            raise TemplateError("input template", f"the workunit's XML has {len(self.job.xml_doc)} bytes, the limit is {BLOB_SIZE - 1}")
        return self.job

    def children(self, parent: Token) -> list[Token]:
        """The elements of a container; nested ones come with their raw contents as text."""
        if parent.text is not None:
            return []
        found: list[Token] = []
        while (token := self.reader.next()) is not None:
            if token.is_end:
                if token.name == parent.name:
                    return found
                continue
            if token.text is None:
                token = Token(token.name, self.reader.raw(token.name), False)
            found.append(token)
        raise self.error(f"no </{parent.name}>")

    def number(self, token: Token) -> float:
        try:
            return double(token.text or "")
        except ValueError:
            raise self.error(f"<{token.name}> must be a number, not {token.text!r}") from None

    def flag(self, token: Token) -> bool:
        try:
            return boolean(token.text or "")
        except ValueError:
            raise self.error(f"<{token.name}> must be empty, 0 or 1, not {token.text!r}") from None

    def file_info(self, start: Token) -> None:
        urls: list[str] = []
        physical_name = md5 = ""
        nbytes = gzipped_nbytes = -1.0
        gzip = False
        copied: list[str] = []
        for token in self.children(start):
            text = unescape((token.text or "").strip())
            match token.name:
                case "number":
                    pass
                case "gzip":
                    gzip = self.flag(token)
                case "physical_name":
                    physical_name = text
                case "url":
                    urls.append(text)
                case "md5_cksum":
                    md5 = text
                case "nbytes":
                    nbytes = self.number(token)
                case "gzipped_nbytes":
                    gzipped_nbytes = self.number(token)
                case _:
                    copied.append(_copy(token))
        if physical_name:
            lines = self.constant(physical_name)
        else:
            if self.used >= len(self.given):
                raise self.error(f"too few input files: the template needs at least {self.used + 1}, {len(self.given)} given")
            file = self.given[self.used]
            self.used += 1
            if nbytes > 0:
                if not md5 or not urls:
                    raise self.error("url, md5_cksum and nbytes must all be given if one is")
                if gzip and gzipped_nbytes <= 0:
                    raise self.error("gzip needs gzipped_nbytes")
                lines = self.remote_by_template(file, urls, md5, nbytes, gzipped_nbytes if gzip else 0)
            elif file.url:
                lines = self.lines(f"jf_{file.md5}", [f"<url>{file.url}</url>"], file.md5, file.nbytes)
            else:
                lines = self.staged(file.name, gzip)
        self.out.append("<file_info>\n" + "".join(copied) + lines + "</file_info>\n")

    def lines(self, name: str, urls: list[str], md5: str, nbytes: float) -> str:
        self.names.append(name)
        joined = "".join(f"    {url}\n" for url in urls)
        return f"    <name>{name}</name>\n{joined}    <md5_cksum>{md5}</md5_cksum>\n    <nbytes>{nbytes:.0f}</nbytes>\n"

    def constant(self, name: str) -> str:
        try:
            known = storage.read_md5_file(storage.download_path(self.project, storage.check_name(name)))
        except storage.BadFilenameError as error:
            raise self.error(str(error)) from None
        if known is None:
            raise self.error(f"constant file {name} is not staged (its .md5 file is missing): stage it first")
        return self.lines(name, [f"<url>{storage.download_url(self.project, name)}</url>"], *known)

    def remote_by_template(self, file: InputFile, urls: list[str], md5: str, nbytes: float, gzipped: float) -> str:
        elements = []
        for url in urls:
            elements.append(f"<url>{url}{file.name}</url>")
            if gzipped:
                elements.append(f"<gzipped_url>{url}{file.name}.gz</gzipped_url>")
        text = self.lines(file.name, elements, md5, nbytes)
        return text + (f"    <gzipped_nbytes>{gzipped:.0f}</gzipped_nbytes>\n" if gzipped else "")

    def staged(self, name: str, gzip: bool) -> str:
        try:
            target = storage.download_path(self.project, storage.check_name(name))
        except storage.BadFilenameError as error:
            raise self.error(str(error)) from None
        top = self.project.path("download", name)
        if not target.exists() and top.exists():
            # As upstream: a file put at the top of download/ is copied to its place.
            storage.write_atomically(target, top.read_bytes())
        if not target.exists():
            raise self.error(f"input file {name} is not staged: stage it first")
        known = storage.read_md5_file(target) or (crypt.md5_file(target), float(target.stat().st_size))
        url = storage.download_url(self.project, name)
        elements = [f"<url>{url}</url>"]
        if gzip:
            packed = Path(f"{target}.gz")
            if not packed.exists():
                raise self.error(f"input file {name} has <gzip/>, but {name}.gz is not staged")
            elements += [f"<gzipped_url>{url}.gz</gzipped_url>", f"<gzipped_nbytes>{packed.stat().st_size}</gzipped_nbytes>"]
        return self.lines(name, elements, *known)

    def workunit(self, start: Token) -> None:
        out = self.out
        out.append("<workunit>\n")
        if self.command_line:
            out.append(f"<command_line>\n{_escape(self.command_line)}\n</command_line>\n")
        columns = self.job.columns
        refs = 0
        for token in self.children(start):
            if token.name == "file_ref":
                if refs >= len(self.names):
                    raise self.error("more <file_ref> than <file_info>")
                self.file_ref(token, self.names[refs])
                refs += 1
            elif token.name == "command_line":
                if self.command_line:
                    raise self.error("the command line is given both in the template and for the job")
                out.append(f"<command_line>\n{(token.text or '').strip()}\n</command_line>\n")
            elif token.name in _NUMBERS:
                columns[token.name] = self.number(token)
            elif token.name in _COUNTS:
                try:
                    columns[token.name] = integer(token.text or "")
                except ValueError:
                    raise self.error(f"<{token.name}> must be a whole number, not {token.text!r}") from None
            else:
                out.append(_copy(token))
        if refs != len(self.names):
            raise self.error(f"{refs} <file_ref> for {len(self.names)} <file_info>")
        out.append("</workunit>")

    def file_ref(self, token: Token, name: str) -> None:
        inner = Reader(token.text or "")
        lines = [f"    <file_name>{name}</file_name>\n"]
        open_name = ""
        copy_file = False
        while (child := inner.next()) is not None:
            match child.name:
                case "open_name":
                    open_name = (child.text or "").strip()
                    lines.append(f"    <open_name>{open_name}</open_name>\n")
                case "copy_file":
                    if self.flag(child):
                        copy_file = True
                        lines.append("    <copy_file/>\n")
                case "file_number" | "file_name":
                    pass
                case _:
                    lines.append(_copy(child))
        if not open_name:
            if not copy_file:
                raise self.error("a <file_ref> needs an <open_name>, or <copy_file/>")
            lines.append(f"    <open_name>{name}</open_name>\n")
        self.out.append("<file_ref>\n" + "".join(lines) + "</file_ref>\n")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _copy(token: Token) -> str:
    """An element that BOINC's tools do not know: handed on as it stands."""
    if not token.text:
        return f"    <{token.name}/>\n"
    return f"    <{token.name}>{token.text}</{token.name}>\n"


def process_input_template(project: Project, text: str, files: Sequence[InputFile], command_line: str = "") -> JobDescription:
    """Apply an input template to the files of a job.

    Raises TemplateError.
    """
    return _InputTemplate(project, text, files, command_line).process()


_START: Final = "<output_template>"
_END: Final = "</output_template>"
_INFO: Final = "<file_info>\n"


def process_result_template(project: Project, text: str, base_name: str) -> str:
    """A result's xml_doc_in: macros replaced, upload certificates added.

    Args:
        base_name: what ``<OUTFILE_i/>`` becomes, followed by i.

    Raises TemplateError. As upstream, a certificate is only added where ``<file_info>`` ends its line, and
    what stands before ``<output_template>`` makes the first characters get lost.
    """
    while (start := text.find("<OUTFILE_")) >= 0:
        end = text.find("/>", start)
        if end < 0 or text.find(">", start) != end + 1:
            raise TemplateError("output template", "<OUTFILE_ is not closed by />", text.count("\n", 0, start) + 1)
        text = f"{text[:start]}{base_name}{text[start + 9 : end]}{text[end + 2 :]}"
    text = text.replace("<UPLOAD_URL/>", project.upload_url)
    if not project.config.dont_generate_upload_certificates:
        text = _add_signatures(project, text)
    if _START in text:
        text = text[len(_START) :].partition(_END)[0]
    return text.strip()


def _add_signatures(project: Project, text: str) -> str:
    parts = []
    position = 0
    while (start := text.find(_INFO, position)) >= 0:
        end = text.find("</file_info>", start)
        if end < 0:
            raise TemplateError("output template", "<file_info> is not closed", text.count("\n", 0, start) + 1)
        body = text[start + len(_INFO) : end]
        name, limit = _leaf(body, "name"), _leaf(body, "max_nbytes")
        if name is None or limit is None:
            raise TemplateError("output template", "a <file_info> needs <name> and <max_nbytes>", text.count("\n", 0, start) + 1)
        line = text.count("\n", 0, start) + 1
        try:
            signature = crypt.sign_upload(name, double(limit), project.keys.upload)
        except ValueError:
            raise TemplateError("output template", f"<max_nbytes> must be a number, not {limit!r}", line) from None
        # The client reads the signature raw, and the upload handler by lines.
        parts += [text[position:end].rstrip(" \t"), f"<xml_signature>\n{signature}</xml_signature>\n</file_info>"]
        position = end + len("</file_info>")
    parts.append(text[position:])
    return "".join(parts)


def _leaf(text: str, tag: str) -> str | None:
    _, found, rest = text.partition(f"<{tag}>")
    return rest.partition("<")[0].strip() if found else None


def check_result_template(text: str) -> None:
    """Refuse an output template that could never make a result. Raises TemplateError."""
    if "<result>\n" not in text.replace("\r\n", "\n"):
        raise TemplateError("output template", "there is no <result> on a line of its own")
    if "</result>" not in text:
        raise TemplateError("output template", "<result> is not closed")
