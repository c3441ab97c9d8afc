"""The project interface: what a scenario may ask of a BOINC project, whichever server runs it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.history import History
from harness.jobs import Job, Result


@dataclass(frozen=True, slots=True)
class Account:
    """An account on a project: what a volunteer knows of it."""

    id: int
    email: str
    password: str
    authenticator: str


class NotOffered(HarnessError):
    """This kind of project server has no way to do what was asked."""

    def __init__(self, project: str, what: str) -> None:
        super().__init__("this project server cannot do that", thing=f"{what} of {project}", expected="the embedded server")


class Project(abc.ABC):
    """One BOINC project. Everything on it is asked of the server at each call; nothing is cached here."""

    name: str
    master_url: str
    history: History

    @property
    def domain(self) -> str:
        """The domain of this project's people: no other project's mails go there."""
        return f"{self.name.replace('_', '-').strip('-')}.test"

    def address(self, person: str) -> str:
        """An e-mail address of a person of this project."""
        return f"{person}@{self.domain}"

    @abc.abstractmethod
    def account(self) -> Account:
        """The project's first volunteer, made on first use: what `Client.attach` uses when no account is given."""

    @abc.abstractmethod
    def create_account(self, email: str, password: str, name: str = "") -> Account:
        """Make an account as an administrator would."""

    @abc.abstractmethod
    def submit(
        self,
        app: str,
        *,
        input: bytes | Sequence[bytes] | None = None,  # noqa: A002 - what everybody calls it
        command_line: str = "",
        name: str | None = None,
        input_template: str | None = None,
        result_template: str | None = None,
        **options: object,
    ) -> Job:
        """Make one job of an application.

        A sample application (uppercase, concat, 1sec, sleeper, crash, hang) is installed on first use. `input` are the contents
        of its input files, in the order of the input template. `options` are create_work's, with underscores (min_quorum,
        target_nresults, delay_bound, rsc_fpops_est, max_error_results, ...).
        """

    @abc.abstractmethod
    def submit_many(self, app: str, inputs: Sequence[bytes | Sequence[bytes]], **options: object) -> list[Job]:
        """One job for each element of `inputs`."""

    @abc.abstractmethod
    def install_app(self, name: str, **columns: object) -> None:
        """Install a sample application, or register an application of the scenario's own with these columns."""

    @abc.abstractmethod
    def put_file(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Write a file into the project's tree, below apps/ or templates/, as an administrator would."""

    @abc.abstractmethod
    def update_versions(self) -> Sequence[Mapping[str, object]]:
        """Make app versions of what lies in apps/; returns those that are new."""

    @abc.abstractmethod
    def deprecate_platform(self, name: str) -> None:
        """Support a platform no longer ("x86_64-pc-linux-gnu"), as an administrator does in the database."""

    @abc.abstractmethod
    def change_code_sign_key(self, *, announce: bool = True) -> None:
        """Take a new code signing key. Without `announce` the old one does not vouch for it, as if it were lost."""

    @abc.abstractmethod
    def configure(self, **options: object) -> None:
        """Set options of config.xml by their names (`stop_sched`, `stop_upload`, ...: the project is down for maintenance)."""

    @abc.abstractmethod
    def workunit(self, workunit_id: int) -> Mapping[str, object]:
        """A workunit's columns, by BOINC's names."""

    @abc.abstractmethod
    def workunits(self) -> list[Mapping[str, object]]:
        """All workunits' columns, oldest first."""

    @abc.abstractmethod
    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]:
        """Results, oldest first."""

    @abc.abstractmethod
    def hosts(self) -> list[Mapping[str, object]]:
        """The hosts' columns, by BOINC's names, oldest first."""

    @abc.abstractmethod
    def users(self) -> list[Mapping[str, object]]:
        """The users' columns, by BOINC's names, oldest first."""

    @abc.abstractmethod
    def output(self, result_id: int, name: str) -> bytes:
        """The bytes of an output file that a result uploaded, by its logical name."""

    @abc.abstractmethod
    def outputs(self, result_id: int) -> Mapping[str, Mapping[str, object]]:
        """What lies on the server of a result's output files: logical name -> {"name", "nbytes", "md5"}."""

    @abc.abstractmethod
    def cancel(self, workunit_id: int) -> None:
        """Cancel a workunit."""

    def get_file(self, path: str) -> bytes:
        """A file of the project's tree (see `put_file`)."""
        raise NotOffered(self.name, f"reading {path}")

    def edit(self, table: str, row: int | str, **columns: object) -> None:
        """Change columns of a row, as an administrator does in the database.

        `table` is user, host, app_version (`row` is the id) or app (`row` is the name).
        """
        raise NotOffered(self.name, f"changing {', '.join(columns)} of {table} {row}")

    def table(self, name: str, /, **where: object) -> list[Mapping[str, object]]:
        """The rows of a table (msg_from_host, host_app_version, batch, ...) whose columns have these values, by BOINC's names."""
        raise NotOffered(self.name, f"reading {name} {where or ''}")

    def merge_hosts(self, one: int, other: int) -> None:
        """Merge two records of one computer, as its user does on the project's pages: the newer one takes over the older one's tasks."""
        raise NotOffered(self.name, f"merging hosts {one} and {other}")

    def send_to_host(self, host: int, xml: str, *, variety: str = "") -> None:
        """Queue a message for a host (msg_to_host): a `<trickle_down>` element for one of its tasks."""
        raise NotOffered(self.name, f"a message {variety} of {len(xml)} bytes to host {host}")

    def allow_submission(self, account: Account) -> None:
        """Let a user submit jobs of every application (the table user_submit)."""
        raise NotOffered(self.name, f"rights to submit for {account.email}")

    @abc.abstractmethod
    def log(self) -> str:
        """The project's log."""

    def exchanges(self) -> Mapping[str, bytes]:
        """The scheduler requests and replies that the server itself keeps, for the evidence: file name -> content. Many keep none."""
        return {}

    @abc.abstractmethod
    def delete(self) -> None:
        """Remove the project and all it holds."""
