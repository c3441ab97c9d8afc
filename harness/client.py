"""A volunteer's host: a container that runs a real BOINC client, driven through GUI RPC."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from docker.models.containers import Container

from harness import containers, engine, images, ssh
from harness.clock import Clock
from harness.container_engine import ContainerEngine
from harness.containers import ContainerSpec
from harness.errors import HarnessError, UsageError
from harness.guirpc import CcStatus, ConnectionLost, FileTransfer, GuiRpc, GuiRpcError, Message, Result, RunMode, Unauthorized, nearxml
from harness.guirpc import Project as AttachedProject
from harness.history import Event
from harness.hosts import Host, VirtualBoxHost
from harness.jobs import Job
from harness.manager import ManagerPage
from harness.monitor import Monitor
from harness.project.base import Account, Project
from harness.ssh import SSH_PORT, KeyPair
from harness.versions import ClientVersion
from harness.vm import VirtualBox, Vm, vm_name
from harness.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from harness.faults.vbox import FakeCpu
    from harness.stack import Stack

GUI_RPC_PORT = 31416
#: the client in its image
PROGRAM = "/usr/bin/boinc"
#: real seconds a client may take to answer GUI RPCs after its start
CLIENT_DEADLINE = 30.0
#: A client that quits kills what has not ended after 60 s of its own time (client_state.h, QUIT_TIMEOUT), two real seconds at
#: `FAST_RATE`: less than saving the memory of a virtual machine takes on a busy machine. With VirtualBox it quits at this rate.
QUIT_RATE = 2.0
#: seconds for that: a client that runs by the clock on the wall takes a minute if a task does not end
QUIT_DEADLINE = 75.0
#: seconds for a request to a project that is under way when another is asked for
UPDATE_DEADLINE = 30.0


class AttachFailed(HarnessError):
    """The client did not get attached to a project. Fields: `client`, `project`, `messages` (the client's own)."""

    def __init__(self, client: str, project: str, messages: Sequence[str]) -> None:
        self.client = client
        self.project = project
        self.messages = messages
        super().__init__(f"{client} did not attach", thing=project, expected="the project to accept it", details="\n".join(messages))


class Client:
    """One client of a stack. `start` and `remove` are the stack's business; the rest is a scenario's.

    The client's state is asked for anew at each call; what happened to it is in the stack's history (see `harness.monitor`).
    """

    DATA_DIRECTORY = "/var/lib/boinc"
    STATE_FILE = f"{DATA_DIRECTORY}/client_state.xml"
    USER_ID = 1000
    #: where the container keeps what is no part of the data directory (see images/client/bin/boinc-entrypoint)
    RUN_DIRECTORY = "/tmp/boinc"

    def __init__(
        self,
        stack: Stack,
        name: str,
        version: ClientVersion,
        kind: type[Host],
        *,
        cc_options: Mapping[str, object] | None = None,
        preferences: Mapping[str, object] | None = None,
        log_flags: Sequence[str] = (),
        ssh: bool = False,
        disk_mb: int = 0,
        environment: Mapping[str, str] | None = None,
        cpu: FakeCpu | None = None,
    ) -> None:
        self.stack = stack
        self.name = name
        self.disk_mb = disk_mb
        self._manager: ManagerPage | None = None
        self._cpu_file: Path | None = None
        self.version = version
        self.password = secrets.token_urlsafe(12)
        self.container_name = f"{stack.rig.name}-s{stack.number}-{name}"
        self.host = kind(self)
        self.cpu = self.host.cpu() if cpu is None else cpu
        self.image = ""
        self.boinc_version = ""
        self._ssh_key = KeyPair.generate() if ssh else None
        self._environment = {
            "BOINC_CC_OPTIONS": _words({**kind.cc_options, **(cc_options or {})}),
            "BOINC_PREFS": _words(preferences),
            "BOINC_LOG_FLAGS": " ".join(log_flags),
            **({"BOINC_SSH_AUTHORIZED_KEY": self._ssh_key.public} if self._ssh_key else {}),
            **(environment or {}),
        }
        self.network = stack.network
        self._container: Container | None = None
        self._rpc: GuiRpc | None = None
        self._monitor: Monitor | None = None

    def __repr__(self) -> str:
        return f"<Client {self.name}, BOINC {self.boinc_version or self.version}>"

    # --- its container

    def start(self, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Start the container and wait until the client answers."""
        deadline = Deadline.of(within)
        self.stack.rig.networks()
        self.image = images.ensure(self.host.image_name, variant=self.version.suite)
        spec = ContainerSpec(
            name=self.container_name,
            role="client",
            image=self.image,
            network=self.network,
            aliases=[self.name],
            address=self.stack.rig.next_address(self.network),
            environment={
                "BOINC_GUI_RPC_PASSWORD": self.password,
                **self.stack.clock.environment(self.name),
                **self.host.environment(),
                **self._environment,
            },
            ports=[GUI_RPC_PORT, *([SSH_PORT] if self._ssh_key else []), *self.host.ports],
            keep=self.stack.rig.keep,
            options={"hostname": self.name, **self._disk(), **self._put_over(), **self.host.rights()},
            host_config=self.host.host_config,
        )
        self._container = containers.start(spec)
        self._came_up(deadline)

    @property
    def container_engine(self) -> ContainerEngine:
        """What this host has on its engine (a client started with `podman=True` or `docker=True`)."""
        return self.host.container_engine()

    def _put_over(self) -> dict[str, object]:
        """What is put over files of the image: a client other than Debian's, a /proc/cpuinfo other than this machine's."""
        program = self.stack.rig.client_program
        volumes = dict(self.host.volumes())
        if program is not None:
            volumes[str(program)] = {"bind": PROGRAM, "mode": "ro"}
        if self.cpu is not None:
            self._cpu_file, shown = self.cpu.mount()
            volumes |= shown
        return {"volumes": volumes} if volumes else {}

    def show_cpu(self, cpu: FakeCpu) -> None:
        """Change the /proc/cpuinfo that a client started with `cpu=` shows, while it runs. Programs see it when they next look."""
        if self._cpu_file is None:
            raise UsageError("a client that shows this machine's own CPU", thing=repr(self), expected="one started with `cpu=FakeCpu(...)`")
        self._cpu_file.write_text(cpu.text(), encoding="ascii")
        self.cpu = cpu

    @property
    def has_virtualbox(self) -> bool:
        """Was it started with `vbox=True`?"""
        return isinstance(self.host, VirtualBoxHost)

    @property
    def virtualbox(self) -> VirtualBox:
        """VirtualBox on this host: its VMs, their logs and screens (a client started with `vbox=True`)."""
        return VirtualBox(self.container)

    def vm(self, job: Job, *, within: Deadline | float = CLIENT_DEADLINE) -> Vm:
        """The VM of a job's task on this host, when it is there."""
        return self.virtualbox.wait_vm(vm_name(job.result.name), within=within)

    def _disk(self) -> dict[str, object]:
        """A data directory of limited size: in memory, so it is lost when the container ends."""
        owner = f"exec,uid={self.USER_ID},gid={self.USER_ID},mode=0755"
        return {"tmpfs": {self.DATA_DIRECTORY: f"size={self.disk_mb}m,{owner}"}} if self.disk_mb else {}

    def _came_up(self, deadline: Deadline) -> None:
        rpc = self.rpc(within=deadline)
        self.boinc_version = str(rpc.exchange_versions())
        self.stack.history.add("client.started", self.name, client=self.name, version=self.boinc_version)
        self._monitor = Monitor(self.name, self._connect, self.stack.history)
        self._monitor.start()

    @property
    def container(self) -> Container:
        if self._container is None:
            raise HarnessError("a client that was not started", thing=self.name, expected="`stack.client()` to have started it")
        return self._container

    def _went_down(self, how: str) -> None:
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None
        if self._rpc is not None:
            self._rpc.close()
            self._rpc = None
        self.stack.history.add("client.stopped", self.name, client=self.name, how=how)

    @property
    def is_running(self) -> bool:
        """Does the client run, as far as the harness has to do with it?"""
        return self._monitor is not None

    def address(self) -> str:
        """The host's address on the stack's network."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def redirect(self, address: str) -> None:
        """Let the running client's HTTP go to another address than it asks for, from its next conversation on."""
        rpc = self.rpc()
        self._wait(self._hush, "a pause in its conversations", CLIENT_DEADLINE)
        nat = f"iptables -t nat -A OUTPUT -p tcp --dport 80 -j DNAT --to-destination {address}:80"
        # connections that the client keeps open for later would go on as they are
        containers.run_in_network_of(self.container, f"{nat} && ss -K dport = :80")
        rpc.set_network_mode(RunMode.RESTORE)

    def _replug(self, network: str) -> None:
        """Put the stopped container into another network."""
        with engine.guard(f"moving {self.name} to {network}"):
            engine.connect().networks.get(network).connect(
                self.container, aliases=[self.name], ipv4_address=self.stack.rig.next_address(network)
            )
            engine.connect().networks.get(self.network).disconnect(self.container, force=True)
        self.network = network

    def _hush(self) -> bool:
        """Forbid new conversations, unless one is going on: cut off, it would count as an error of the project's."""
        if not self._is_silent():
            return False
        self.rpc().set_network_mode(RunMode.NEVER, 3600.0)
        if self._is_silent():
            return True
        self.rpc().set_network_mode(RunMode.RESTORE)  # without the network it would not even hear the answer
        return False

    def _is_silent(self) -> bool:
        """Does the client talk to no project just now?"""
        talking = any(project.scheduler_rpc_in_progress or project.master_url_fetch_pending for project in self.projects())
        return not talking and not any(transfer.is_active for transfer in self.transfers())

    def set_clock(self, clock: Clock) -> None:
        """Let the client and its applications live by another clock (see `harness.virtual_time`), now or when it is started again."""
        spec = " ".join(f"{number:.6f}" for number in clock.spec())
        self.container.reload()
        if self.container.status == "running":
            self.exec(["boinc-clock", spec], check=self.is_running)
        else:
            containers.write_file(self.container, f"{self.RUN_DIRECTORY}/clock.spec", spec.encode(), owner=self.USER_ID)

    def stop(self) -> None:
        """Quit the client in good order: its tasks are told to quit, its state is saved. Raises `WaitTimeout`.

        By GUI RPC: its handler of SIGTERM writes a message (client/main.cpp: signal_handler), and a signal that comes while the client
        itself makes a time readable lets it wait for itself for ever. At x30 that was one of a hundred.
        """
        own = self.stack.clock.of(self.name)
        if patient := self.has_virtualbox and own.rate > QUIT_RATE:
            self.set_clock(own.at_rate(QUIT_RATE))
        try:
            self._quit()
            self._went_down("quit")
        finally:
            if patient:
                self.set_clock(own)

    def _quit(self) -> None:
        def ended() -> bool:
            self.container.reload()
            return self.container.status in ("exited", "dead")

        if ended():
            return
        try:
            self.rpc().quit()
        except ConnectionLost:
            pass  # it was quick
        except GuiRpcError:
            self.container.kill("SIGTERM")
        self._wait(ended, "ending after it was told to quit", QUIT_DEADLINE)

    def kill(self) -> None:
        """End client and tasks without warning (SIGKILL), as a power cut would."""
        self.container.kill()
        self._went_down("SIGKILL")

    def start_again(self, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Start a stopped or killed client on its old data."""
        deadline = Deadline.of(within)
        if self.network != self.stack.network:  # what `redirect` did ended with the container
            self._replug(self.stack.network)
        self.container.start()
        self.container.reload()
        self._came_up(deadline)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start_again()

    def remove(self) -> None:
        """Remove the container, in the background."""
        if self._container is None:
            return
        self._went_down("removed")
        self.close_manager()
        self.stack.rig.remove_later(self.container_name, self.host.clean_up)
        if self._cpu_file is not None:
            shutil.rmtree(self._cpu_file.parent, ignore_errors=True)

    def exec(self, command: str | Sequence[str], *, check: bool = True) -> str:
        """Run a command in the container and return what it printed; a failure raises unless `check` is false."""
        words = shlex.split(command) if isinstance(command, str) else list(command)
        with engine.guard(f"running {words[0]} in {self.name}"):
            done = containers.execute(self.container, words)
        if check and done.exit_code:
            problem = f"a command in {self.name} failed with exit code {done.exit_code}"
            raise HarnessError(problem, thing=shlex.join(words), details=done.text)
        return done.text

    def ssh(self, *, within: Deadline | float = CLIENT_DEADLINE) -> paramiko.SSHClient:
        """Log in to the host (it has to have been started with `ssh=True`). The caller closes the connection."""
        if self._ssh_key is None:
            raise UsageError("this client has no sshd", thing=self.name, expected="`stack.client(ssh=True)`")
        host, port = engine.address(self.container, SSH_PORT, network=self.stack.rig.volunteers_network)
        return ssh.connect(host, port, self._ssh_key, within=within)

    def log(self) -> str:
        """What the client wrote to its standard output, which is its event log."""
        return containers.log_tail(self.container, 5000)

    def files(self, folder: str) -> list[str]:
        """The files below a folder of the data directory, by their paths in it."""
        listing = self.exec(["find", f"{self.DATA_DIRECTORY}/{folder}", "-type", "f", "-printf", "%P\\n"], check=False)
        return sorted(line for line in listing.splitlines() if line)

    # --- its Manager

    def open_manager(self) -> ManagerPage:
        """BOINC Manager in a browser: this client's own (`gui=True`), or one in a container beside it, until the client is removed."""
        if self._manager is not None and self._manager.is_drawn():
            return self._manager
        self.close_manager()
        self._manager = self.host.open_manager()
        self.stack.history.add("manager.opened", self.name, client=self.name)
        return self._manager

    @property
    def manager(self) -> ManagerPage | None:
        """The Manager that `open_manager` opened, if any."""
        return self._manager

    def close_manager(self) -> None:
        """Close the Manager that `open_manager` opened."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    @property
    def manager_url(self) -> str:
        """The page with this client's Manager, password and all; opened on first use."""
        return self.open_manager().url

    # --- its GUI RPCs

    def gui_rpc_address(self) -> engine.Address:
        """Where this process reaches the client's GUI RPC port."""
        return engine.address(self.container, GUI_RPC_PORT, network=self.network)

    def _connect(self) -> GuiRpc:
        host, port = self.gui_rpc_address()
        return GuiRpc.connect(host, port, password=self.password, within=1.0)

    def rpc(self, *, within: Deadline | float = CLIENT_DEADLINE) -> GuiRpc:
        """An authorized GUI RPC connection, made on first use; for RPCs that this class has no name for."""
        if self._rpc is not None and self._rpc.connection.is_open:
            return self._rpc
        last = ""

        def connected() -> GuiRpc | None:
            nonlocal last
            try:
                return self._connect()
            except Unauthorized:
                raise
            except HarnessError as error:  # not listening yet, or no address since it has ended
                last = str(error)
            self.container.reload()
            if self.container.status in ("exited", "dead"):
                log = containers.log_tail(self.container)
                raise containers.ContainerFailed(self.container_name, self.image, "the client to run; it ended", log=log)
            return None

        self._rpc = wait_until(connected, f"{self.name} answering GUI RPCs", within=within, every=0.02, last_state=lambda: last)
        return self._rpc

    def attach(
        self, project: Project, account: Account | None = None, *, wait: bool = True, within: Deadline | float = CLIENT_DEADLINE
    ) -> None:
        """Attach by account key, and (`wait`) wait until the project's server knows the host."""
        account = account or project.account()
        self.rpc().project_attach(project.master_url, account.authenticator, project_name=project.name)
        if wait:
            self.wait_attached(project, within=within)

    def attach_with_password(self, project: Project, email: str, password: str, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Attach as a person does: look the account up by e-mail address and password, then attach with the key it gives.

        Raises `harness.guirpc.RpcFailed` with BOINC's error number when the project refuses.
        """
        deadline = Deadline.of(within)
        rpc = self.rpc()
        rpc.get_project_config_and_wait(project.master_url, within=deadline)
        authenticator = rpc.lookup_account_and_wait(project.master_url, email, password, within=deadline)
        rpc.project_attach(project.master_url, authenticator, project_name=project.name)
        self.wait_attached(project, within=deadline)

    def create_account(
        self, project: Project, email: str, password: str, user_name: str, *, within: Deadline | float = CLIENT_DEADLINE
    ) -> str:
        """Make an account on the project through the client, and return its key."""
        return self.rpc().create_account_and_wait(project.master_url, email, password, user_name, within=within)

    def wait_attached(self, project: Project, *, within: Deadline | float = CLIENT_DEADLINE) -> Event:
        """Wait until the project's first scheduler reply to this client: from then on it has a host record there."""
        url = project.master_url

        def attached() -> bool:
            return any(known.master_url == url and known.hostid != 0 for known in self.projects())

        deadline = Deadline.of(within)
        wait_until(
            attached,
            f"{self.name} attached to {project.name}",
            within=deadline,
            every=0.03,
            last_state=lambda: "; ".join(message.body.strip() for message in self.messages()[-3:]),
            evidence=self.stack.history.evidence,
        )
        return self.stack.history.add("client.attached", self.name, client=self.name, project=project.name)

    def detach(self, project: Project) -> None:
        """Detach: tasks are aborted, files removed."""
        self.rpc().project_detach(project.master_url)

    def update(self, project: Project) -> None:
        """Contact the project's scheduler now, as the Update button does. Raises `WaitTimeout`.

        A request to it that is under way is awaited first: when it ends, the client forgets that the button was pressed meanwhile
        (client/scheduler_op.cpp: sched_rpc_pending is cleared).
        """
        self._wait(
            lambda: not any(known.master_url == project.master_url and known.scheduler_rpc_in_progress for known in self.projects()),
            f"the end of a request to {project.master_url}",
            UPDATE_DEADLINE,
        )
        self.rpc().project_update(project.master_url)

    def projects(self) -> tuple[AttachedProject, ...]:
        return self.rpc().get_project_status()

    def tasks(self) -> tuple[Result, ...]:
        """The client's results (it calls them tasks to people)."""
        return self.rpc().get_results()

    def task(self, name: str) -> Result:
        """One task by its result name."""
        for result in self.tasks():
            if result.name == name:
                return result
        raise HarnessError("no such task", thing=f"{name} on {self.name}", expected=f"one of {[result.name for result in self.tasks()]}")

    def transfers(self) -> tuple[FileTransfer, ...]:
        return self.rpc().get_file_transfers()

    def messages(self) -> tuple[Message, ...]:
        """The event log, oldest first."""
        return self.rpc().get_messages(0)

    def status(self) -> CcStatus:
        return self.rpc().get_cc_status()

    def suspend(self, project: Project, task: str) -> None:
        self.rpc().suspend_result(project.master_url, task)

    def resume(self, project: Project, task: str) -> None:
        self.rpc().resume_result(project.master_url, task)

    def abort(self, project: Project, task: str) -> None:
        self.rpc().abort_result(project.master_url, task)

    def set_run_mode(self, mode: RunMode, duration: float = 0.0) -> None:
        self.rpc().set_run_mode(mode, duration)

    def set_network_mode(self, mode: RunMode, duration: float = 0.0) -> None:
        self.rpc().set_network_mode(mode, duration)

    def set_preferences(self, **preferences: float) -> None:
        """Change computing preferences of this host, by the names of global_prefs_override.xml; the others stay."""
        rpc = self.rpc()
        override = nearxml.parse(rpc.get_global_prefs_override()).find("global_preferences")
        known = {node.tag: node.text for node in override.children} if override is not None else {}
        merged = {**known, **{name: f"{value:g}" for name, value in preferences.items()}}
        lines = "".join(f"<{name}>{value}</{name}>\n" for name, value in merged.items())
        rpc.set_global_prefs_override(f"<global_preferences>\n{lines}</global_preferences>\n")
        rpc.read_global_prefs_override()

    def retry_transfers(self, project: Project) -> None:
        """Try every waiting transfer of a project now, as the Retry button does."""
        for transfer in self.transfers():
            if transfer.project_url == project.master_url and transfer.file_xfer is None:
                self.rpc().retry_file_transfer(project.master_url, transfer.name)

    # --- waits

    def wait_ended(self, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Wait until the client has ended by itself."""

        def ended() -> bool:
            self.container.reload()
            return self.container.status == "exited"

        self._wait(ended, "ending by itself", within)
        self._went_down("by itself")

    def _wait(self, condition: Callable[[], bool], what: str, within: Deadline | float) -> None:
        wait_until(
            condition,
            f"{self.name}: {what}",
            within=within,
            last_state=lambda: containers.log_tail(self.container),
            evidence=self.stack.history.evidence,
        )

    def wait_checkpoint(self, job: Job, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Wait until a task of a job has checkpointed since it was started."""
        names = {result.name for result in job.results()}

        def checkpointed() -> bool:
            running = [task.active_task for task in self.tasks() if task.name in names]
            return any(active is not None and active.checkpoint_cpu_time > 0 for active in running)

        self._wait(checkpointed, f"a checkpoint of {job.name}", within)

    def saved_state(self) -> bytes:
        """client_state.xml, running or not, as it was saved last: while the client replaces it there is only the one before."""
        try:
            return containers.read_file(self.container, self.STATE_FILE)
        except containers.NoSuchFile:
            return containers.read_file(self.container, self.STATE_FILE.replace(".xml", "_prev.xml"))

    def wait_saved(self, job: Job, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Wait until the task of a job is in the state file, from where a killed client knows it again."""
        names = [result.name for result in job.results()]

        def saved() -> bool:
            state = self.exec(["cat", self.STATE_FILE], check=False)
            return any(f"<name>{name}</name>" in state for name in names)

        self._wait(saved, f"{job.name} in client_state.xml", within)

    def wait_upload_bytes(self, nbytes: int, *, within: Deadline | float = CLIENT_DEADLINE) -> None:
        """Wait until some upload has sent that many bytes and is still under way."""

        def under_way() -> bool:
            return any(
                transfer.file_xfer is not None and transfer.persistent_file_xfer.is_upload and transfer.file_xfer.bytes_xferred >= nbytes
                for transfer in self.transfers()
            )

        self._wait(under_way, f"an upload past {nbytes} bytes", within)

    def wait_task(self, *, within: Deadline | float = CLIENT_DEADLINE, **fields: object) -> Event:
        """The first task.state event of this client with these values (state="...", active_state="...", result=...)."""
        return self.stack.history.wait("task.state", within=within, client=self.name, **fields)

    def wait_message(self, text: str, *, within: Deadline | float = CLIENT_DEADLINE) -> Event:
        """The first event log line that contains `text`."""
        return self.stack.history.wait_for(
            lambda event: event.kind == "client.message" and event.get("client") == self.name and text in str(event.get("text")),
            f"{self.name} saying {text!r}",
            within=within,
        )


def _words(options: Mapping[str, object] | None) -> str:
    """Options as the client image takes them: name=value words; true and false are 1 and 0."""
    return " ".join(f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in (options or {}).items())
