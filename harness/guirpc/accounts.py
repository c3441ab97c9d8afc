"""RPCs about projects that a client joins, accounts there, and account managers. All need the password.

The client goes and asks the project, so these come in pairs: one RPC starts, the other tells how far it is. The answer is kept with
the connection that asked (client/gui_rpc_server.h): poll on the same one, or never learn it. The `*_and_wait` methods do both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.guirpc.base import Base, Within, elements, password_hash
from harness.guirpc.errors import RpcFailed
from harness.guirpc.models_client import AccountOut, AcctMgrInfo, PollReply, ProjectConfig, ProjectInitStatus
from harness.guirpc.nearxml import Node
from harness.guirpc.numbers import ErrorNumber
from harness.guirpc.transport import Reply
from harness.waiting import Deadline, WaitTimeout

P = TypeVar("P", PollReply, AccountOut, ProjectConfig)

#: seconds for a project to answer where nothing else is said
PROJECT_TIMEOUT = 30.0


class Accounts(Base):
    # --- attach

    def project_attach(
        self, project_url: str, authenticator: str, *, project_name: str = "", email_addr: str = "", within: Within = None
    ) -> None:
        """Attach. Success means that the client took it up; that the project answers shows in get_project_status."""
        arguments = elements(project_url=project_url, authenticator=authenticator, project_name=project_name, email_addr=email_addr)
        self._do("project_attach", arguments, within=within)

    def project_attach_from_file(self, *, within: Within = None) -> None:
        """Attach to the project that project_init.xml in the data directory names."""
        self._do("project_attach", elements(use_config_file=1), within=within)

    def project_attach_poll(self, *, within: Within = None) -> PollReply:
        return self._read(PollReply, "project_attach_poll", "project_attach_reply", within=within)

    def project_attach_and_wait(
        self, project_url: str, authenticator: str, *, project_name: str = "", within: Deadline | float = PROJECT_TIMEOUT
    ) -> None:
        """Attach and wait until the client has taken it up. Raises `RpcFailed` with what the client says."""
        deadline = Deadline.of(within)
        self.project_attach(project_url, authenticator, project_name=project_name, within=self._limit(deadline))
        reply = self._poll("project_attach_poll", self.project_attach_poll, deadline)
        if reply.error_num:
            raise RpcFailed(reply.error_num, op="project_attach", address=self.connection.address, messages=reply.message)

    # --- project configuration

    def get_project_config(self, url: str, *, within: Within = None) -> None:
        """Start to ask a project what it is."""
        self._do("get_project_config", elements(url=url), within=within)

    def get_project_config_poll(self, *, within: Within = None) -> ProjectConfig:
        return self._answer(ProjectConfig, self.call("get_project_config_poll", within=within), "project_config")

    def get_project_config_and_wait(self, url: str, *, within: Deadline | float = PROJECT_TIMEOUT) -> ProjectConfig:
        """Ask a project what it is. Raises `RpcFailed`."""
        deadline = Deadline.of(within)
        self.get_project_config(url, within=self._limit(deadline))
        return self._succeed("get_project_config", self._poll("get_project_config_poll", self.get_project_config_poll, deadline))

    # --- accounts

    def lookup_account(
        self,
        url: str,
        email_addr: str,
        passwd_hash: str,
        *,
        ldap_auth: bool = False,
        server_assigned_cookie: bool = False,
        server_cookie: str = "",
        within: Within = None,
    ) -> None:
        """Start to look up an account. `passwd_hash`: see `password_hash`."""
        arguments = elements(
            url=url,
            email_addr=email_addr,
            passwd_hash=passwd_hash,
            ldap_auth=ldap_auth,
            server_assigned_cookie=server_assigned_cookie,
            server_cookie=server_cookie or None,
        )
        self._do("lookup_account", arguments, within=within)

    def lookup_account_poll(self, *, within: Within = None) -> AccountOut:
        return self._answer(AccountOut, self.call("lookup_account_poll", within=within), "account_out")

    def lookup_account_and_wait(self, url: str, email_addr: str, password: str, *, within: Deadline | float = PROJECT_TIMEOUT) -> str:
        """The authenticator of an account. Raises `RpcFailed` (DB_NOT_FOUND, BAD_PASSWD, ...)."""
        deadline = Deadline.of(within)
        self.lookup_account(url, email_addr, password_hash(email_addr, password), within=self._limit(deadline))
        return self._succeed("lookup_account", self._poll("lookup_account_poll", self.lookup_account_poll, deadline)).authenticator

    def create_account(
        self,
        url: str,
        email_addr: str,
        passwd_hash: str,
        user_name: str,
        *,
        team_name: str = "",
        consented_to_terms: bool = False,
        within: Within = None,
    ) -> None:
        """Start to create an account. `consented_to_terms` needs exchange_versions on this connection first."""
        arguments = elements(
            url=url,
            email_addr=email_addr,
            passwd_hash=passwd_hash,
            user_name=user_name,
            team_name=team_name,
            consented_to_terms=consented_to_terms,
        )
        self._do("create_account", arguments, within=within)

    def create_account_poll(self, *, within: Within = None) -> AccountOut:
        return self._answer(AccountOut, self.call("create_account_poll", within=within), "account_out")

    def create_account_and_wait(
        self, url: str, email_addr: str, password: str, user_name: str, *, team_name: str = "", within: Deadline | float = PROJECT_TIMEOUT
    ) -> str:
        """The authenticator of a new account. Raises `RpcFailed` (NONUNIQUE_EMAIL, ACCT_CREATION_DISABLED, ...)."""
        deadline = Deadline.of(within)
        hashed = password_hash(email_addr, password)
        self.create_account(url, email_addr, hashed, user_name, team_name=team_name, within=self._limit(deadline))
        return self._succeed("create_account", self._poll("create_account_poll", self.create_account_poll, deadline)).authenticator

    def get_project_init_status(self, *, within: Within = None) -> ProjectInitStatus:
        """What project_init.xml says, empty without one."""
        return self._read(ProjectInitStatus, "get_project_init_status", "get_project_init_status", within=within)

    # --- account managers

    def acct_mgr_info(self, *, within: Within = None) -> AcctMgrInfo:
        return self._read(AcctMgrInfo, "acct_mgr_info", "acct_mgr_info", within=within)

    def acct_mgr_rpc(self, url: str, name: str, password: str, *, within: Within = None) -> None:
        """Start to attach to an account manager; with all three empty, detach. `password` may be "hash:" and its hash."""
        self._do("acct_mgr_rpc", elements(url=url, name=name, password=password), within=within)

    def acct_mgr_rpc_sync(self, *, within: Within = None) -> None:
        """Start an RPC to the account manager that the client is attached to."""
        self._do("acct_mgr_rpc", elements(use_config_file=True), within=within)

    def acct_mgr_rpc_poll(self, *, within: Within = None) -> PollReply:
        return self._read(PollReply, "acct_mgr_rpc_poll", "acct_mgr_rpc_reply", within=within)

    def acct_mgr_rpc_and_wait(self, url: str, name: str, password: str, *, within: Deadline | float = PROJECT_TIMEOUT) -> None:
        """Attach to an account manager and wait for its answer. Raises `RpcFailed`.

        A manager that cannot be reached at all is a `WaitTimeout`: clients up to 8.2 then say "in progress" for ever, and tell the
        reason only in the event log ("AM RPC HTTP failure", client/acct_mgr.cpp).
        """
        deadline = Deadline.of(within)
        self.acct_mgr_rpc(url, name, password, within=self._limit(deadline))
        reply = self._poll("acct_mgr_rpc_poll", self.acct_mgr_rpc_poll, deadline)
        if reply.error_num:
            raise RpcFailed(reply.error_num, op="acct_mgr_rpc", address=self.connection.address, messages=reply.message)

    # --- polling

    def _limit(self, deadline: Deadline) -> Deadline:
        return deadline.at_most(self.timeout)

    def _poll(self, op: str, ask: Callable[..., P], deadline: Deadline) -> P:
        while True:
            last_chance = deadline.expired
            reply = ask(within=self.timeout)
            if reply.error_num not in (ErrorNumber.IN_PROGRESS, ErrorNumber.RETRY):
                return reply
            if last_chance:
                raise WaitTimeout(
                    f"{op} of the client at {self.connection.address} to end", last_state=reply.error_num.name, elapsed=deadline.elapsed
                )
            deadline.pause(0.02)

    def _answer(self, model: type[P], reply: Reply, tag: str) -> P:
        """A project's own words, passed on by the client: `<account_out>`, or `<error>` with a number and a message."""
        node = reply.root.find(tag) or reply.root.find("error") or Node(tag)
        inner = node.find("error")
        return self._build(model, reply, inner if inner is not None and inner.children else node)

    def _succeed(self, op: str, answer: P) -> P:
        if answer.error_num:
            message = () if isinstance(answer, PollReply) or not answer.error_msg else (answer.error_msg,)
            raise RpcFailed(answer.error_num, op=op, address=self.connection.address, messages=message)
        return answer
