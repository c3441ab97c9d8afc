"""RPCs that tell something and change nothing. From the client's own host they need no password."""

from __future__ import annotations

from typing import TypeVar

from harness.guirpc.base import Base, Within, elements
from harness.guirpc.build import build
from harness.guirpc.models import App, AppVersion, FileTransfer, OldResult, Project, Result, Workunit
from harness.guirpc.models_client import (
    CcStatus,
    ClientState,
    DailyXfer,
    DiskUsage,
    HostInfo,
    ListedProject,
    Message,
    NewerVersion,
    Notice,
    ProjectState,
    ProjectStatistics,
    ScreensaverTasks,
    SimpleGuiInfo,
    Version,
)
from harness.guirpc.nearxml import Node
from harness.guirpc.transport import Reply

T = TypeVar("T")

#: what we say we are, in exchange_versions: the newest protocol we know
OUR_VERSION = Version(8, 2, 15)


class Reading(Base):
    def exchange_versions(self, name: str = "boinc-harness", version: Version = OUR_VERSION, *, within: Within = None) -> Version:
        """Say who we are; returns the client's version. create_account with consent to terms wants it first."""
        arguments = elements(major=version.major, minor=version.minor, release=version.release, name=name)
        return self._read(Version, "exchange_versions", "server_version", arguments, within=within)

    def get_state(self, *, within: Within = None) -> ClientState:
        """Everything: host, projects with their applications, workunits and results. Large: poll with the smaller RPCs."""
        reply = self.call("get_state", within=within)
        node = reply.element("client_state")
        state = self._build(ClientState, reply, node)
        object.__setattr__(state, "projects", self._projects(reply, node))
        return state

    def _projects(self, reply: Reply, state: Node) -> tuple[ProjectState, ...]:
        """The reply is flat: what follows a project, up to the next one, belongs to it."""
        groups: list[tuple[Node, list[Node]]] = []
        for child in state.children:
            if child.tag == "project":
                groups.append((child, []))
            elif groups:
                groups[-1][1].append(child)

        def members(kind: type[T], tag: str, nodes: list[Node]) -> tuple[T, ...]:
            return tuple(self._build(kind, reply, node) for node in nodes if node.tag == tag)

        return tuple(
            ProjectState(
                project=self._build(Project, reply, project),
                apps=members(App, "app", nodes),
                app_versions=members(AppVersion, "app_version", nodes),
                workunits=members(Workunit, "workunit", nodes),
                results=members(Result, "result", nodes),
            )
            for project, nodes in groups
        )

    def get_results(self, *, active_only: bool = False, within: Within = None) -> tuple[Result, ...]:
        """The results the client has; with `active_only` those that have a process."""
        return self._read_all(Result, "get_results", ("results", "result"), elements(active_only=1 if active_only else None), within=within)

    def get_old_results(self, *, within: Within = None) -> tuple[OldResult, ...]:
        """Results that were reported within the last hour."""
        return self._read_all(OldResult, "get_old_results", ("old_results", "old_result"), within=within)

    def get_cc_status(self, *, within: Within = None) -> CcStatus:
        return self._read(CcStatus, "get_cc_status", "cc_status", within=within)

    def get_file_transfers(self, *, within: Within = None) -> tuple[FileTransfer, ...]:
        return self._read_all(FileTransfer, "get_file_transfers", ("file_transfers", "file_transfer"), within=within)

    def get_messages(self, seqno: int = 0, *, translatable: bool = False, within: Within = None) -> tuple[Message, ...]:
        """The event log's lines with a number greater than `seqno`, oldest first."""
        arguments = elements(seqno=seqno, translatable=translatable)
        return self._read_all(Message, "get_messages", ("msgs", "msg"), arguments, within=within)

    def get_message_count(self, *, within: Within = None) -> int:
        """The number of the newest line of the event log."""
        return int(self.call("get_message_count", within=within).element("seqno").text or 0)

    def get_notices_public(self, seqno: int = 0, *, within: Within = None) -> tuple[Notice, ...]:
        """Notices with a number greater than `seqno`, without private ones."""
        return self._read_all(Notice, "get_notices_public", ("notices", "notice"), elements(seqno=seqno), within=within)

    def get_notices(self, seqno: int = 0, *, within: Within = None) -> tuple[Notice, ...]:
        """Notices with a number greater than `seqno`, oldest first. Needs the password always."""
        return self._read_all(Notice, "get_notices", ("notices", "notice"), elements(seqno=seqno), within=within)

    def get_project_status(self, *, within: Within = None) -> tuple[Project, ...]:
        return self._read_all(Project, "get_project_status", ("projects", "project"), within=within)

    def get_simple_gui_info(self, *, within: Within = None) -> SimpleGuiInfo:
        """Projects and the results that have a process."""
        return self._read(SimpleGuiInfo, "get_simple_gui_info", "simple_gui_info", within=within)

    def get_screensaver_tasks(self, *, within: Within = None) -> ScreensaverTasks:
        reply = self.call("get_screensaver_tasks", within=within)
        older = reply.root.find("handle_get_screensaver_tasks")  # clients before 8.2 call it so
        return self._build(ScreensaverTasks, reply, older or reply.element("get_screensaver_tasks"))

    def get_disk_usage(self, *, within: Within = None) -> DiskUsage:
        return self._read(DiskUsage, "get_disk_usage", "disk_usage_summary", within=within)

    def get_host_info(self, *, within: Within = None) -> HostInfo:
        return self._read(HostInfo, "get_host_info", "host_info", within=within)

    def get_statistics(self, *, within: Within = None) -> tuple[ProjectStatistics, ...]:
        return self._read_all(ProjectStatistics, "get_statistics", ("statistics", "project_statistics"), within=within)

    def get_daily_xfer_history(self, *, within: Within = None) -> tuple[DailyXfer, ...]:
        return self._read_all(DailyXfer, "get_daily_xfer_history", ("daily_xfers", "dx"), within=within)

    def get_newer_version(self, *, within: Within = None) -> NewerVersion:
        """Whether there is a newer client. **The client does nothing else while it asks its home server**: give it time."""
        reply = self.call("get_newer_version", within=within)
        reply.element("newer_version")
        return self._build(NewerVersion, reply, reply.root)

    def get_all_projects_list(self, *, within: Within = None) -> tuple[ListedProject, ...]:
        """The list of projects that the client downloaded, empty if it has none."""
        reply = self.call("get_all_projects_list", within=within)
        projects = reply.root.find("projects")
        return () if projects is None else tuple(build(ListedProject, node) for node in projects.all("project"))
