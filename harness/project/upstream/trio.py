"""The three containers behind one upstream project, put together as boinc-server-docker's docker-compose.yml does.

    mysql         the database; reached as "mysql" on a network of the trio's own
    makeproject   runs once: copies the project into the volume, makes the database, runs bin/xadd and bin/update_versions
    apache        web pages, scheduler, upload handler and all daemons; it is boinc.test for the volunteers

What is different from compose: no docker socket (a file of that name stands in for it, as makeproject-step3.sh asks whose it is), and the
code signing key stays readable in the apache container, so that bin/update_versions can be run there later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import docker.errors
import httpx
from docker.models.containers import Container
from docker.types import EndpointConfig

from harness import containers, engine, labels
from harness.containers import LOG_TAIL, ContainerFailed
from harness.errors import HarnessError
from harness.project.upstream.database import Database, DatabaseGone
from harness.project.upstream.imageset import ImageSet
from harness.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from harness.rig import Rig

#: real seconds for one step on the way to a running project
STEP: Final = 120.0
MYSQL_PORT: Final = 3306
WEB_PORT: Final = 80
SOCKET: Final = "/var/run/docker.sock"
#: a group that no image has: makeproject-step3.sh makes one of the socket's number
SOCKET_GROUP: Final = 64998
#: seconds between two looks whether the project is up: each asks the engine for the log
EVERY: Final = 0.25
#: what supervisord says of its program "start" (makeproject-step3.sh) when that failed. It starts it again, but in vain: the script makes
#: a group first of all, which is there by then
_GAVE_UP: Final = re.compile(r"exited: start \(exit status \d+; not expected\)|gave up: start entered FATAL")
#: so many containers are tried. The script tells apache to read its configuration again as soon as there is such a process, which fails if
#: that has not got far yet; on a busy machine this happens
TRIED: Final = 3


class ToolFailed(HarnessError):
    """One of the project's own tools ended with an error. Fields: `command`, `exit_code_of_tool`."""

    def __init__(self, command: str, code: int, output: str) -> None:
        self.command = command
        self.exit_code_of_tool = code
        super().__init__(
            f"a tool of the project ended with exit code {code}",
            thing=command.splitlines()[0][:300],
            expected="exit code 0",
            remedy="its last lines follow" if output.strip() else "",
            details="\n".join(output.splitlines()[-20:]),
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an image set keeps its project, by the makeproject image's environment."""

    root: str
    user: str

    @classmethod
    def of(cls, image: str) -> Layout:
        settings = engine.connect().images.get(image).attrs["Config"].get("Env") or []
        found = dict(entry.partition("=")[::2] for entry in settings)
        return cls(found.get("PROJECT_ROOT", "/home/boincadm/project"), found.get("BOINC_USER", "boincadm"))


class Trio:
    """One project's containers, network and volumes. `start` makes them all, `close` removes them all."""

    def __init__(self, rig: Rig, images: ImageSet, project: str) -> None:
        self._rig = rig
        self._images = images
        self.project = project
        self.layout = Layout.of(images.makeproject)
        self._name = f"{rig.name}-{project.replace('_', '-')}".lower()
        self._cleanup = ExitStack()
        self._settled = False
        self.mysql: Container
        self.makeproject: Container
        self.apache: Container
        self._new_apache: Callable[[], Container]
        self.database: Database

    def __repr__(self) -> str:
        return f"<Trio {self.project}>"

    # --- putting it together

    def start(self, url_base: str) -> None:
        """From nothing to a made project in a stopped apache container. `run` starts that."""
        client = engine.connect()
        network = engine.create_network(f"{self._name}-net", keep=self._rig.keep)
        self._cleanup.callback(_gone, network.remove)
        volumes = {part: f"{self._name}-{part}" for part in ("project", "results", "secrets")}
        for name in volumes.values():
            volume = client.volumes.create(name, labels=labels.owner_labels(keep=self._rig.keep))
            self._cleanup.callback(_gone, volume.remove)
        self.mysql = self._create("mysql", self._images.mysql, str(network.name), alias="mysql", ports=[MYSQL_PORT])
        self.mysql.start()
        environment = {"URL_BASE": url_base.rstrip("/"), "PROJECT": self.project}
        root = self.layout.root
        self.makeproject = self._create(
            "makeproject",
            self._images.makeproject,
            str(network.name),
            environment=environment,
            volumes={volumes["project"]: f"{root}.dst", volumes["secrets"]: "/run/secrets"},
        )
        self._make()
        folders = {volumes["project"]: root, volumes["secrets"]: "/run/secrets", volumes["results"]: "/results"}

        def create() -> Container:
            return self._create(
                "apache",
                self._images.apache,
                str(network.name),
                hostname=self.project,
                environment=environment,
                ports=[WEB_PORT],
                volumes=folders,
            )

        self._new_apache = create
        self._put_apache()

    def _put_apache(self) -> None:
        self.apache = self._new_apache()
        containers.write_file(self.apache, SOCKET, b"", owner=SOCKET_GROUP)

    def _create(
        self,
        part: str,
        image: str,
        network: str,
        *,
        alias: str = "",
        hostname: str | None = None,
        environment: dict[str, str] | None = None,
        ports: list[int] | None = None,
        volumes: dict[str, str] | None = None,
    ) -> Container:
        client = engine.connect()
        endpoint = EndpointConfig(client.api.api_version, aliases=[alias] if alias else None)
        options: dict[str, Any] = {
            "name": f"{self._name}-{part}",
            "hostname": hostname or part,
            "environment": environment or {},
            "labels": labels.owner_labels(keep=self._rig.keep, role=part),
            "network": network,
            "networking_config": {network: endpoint},
            "ports": engine.publish(ports or []),
            "volumes": {name: {"bind": target, "mode": "rw"} for name, target in (volumes or {}).items()},
            "use_config_proxy": False,
            "tty": part == "apache",
            "detach": True,
        }
        with engine.guard(f"starting the {part} of {self.project}"):
            container: Container = client.containers.create(image, **options)
        self._cleanup.callback(containers.remove_quietly, str(container.name))
        return container

    def _make(self) -> None:
        """Let makeproject do its work; its own script waits for the database."""
        self.makeproject.start()
        wait_until(self._made, f"the makeproject container of {self.project} to end", within=STEP, every=EVERY, last_state=self.log)
        code = self.makeproject.attrs["State"]["ExitCode"]
        if code != 0:
            raise ContainerFailed(
                str(self.makeproject.name),
                self._images.makeproject,
                f"makeproject to end with exit code 0, not {code}",
                log=containers.log_tail(self.makeproject),
            )
        secrets = containers.read_file(self.makeproject, "/run/secrets/secrets.env").decode("utf-8", "replace")
        values = dict(line.partition("=")[::2] for line in secrets.splitlines() if "=" in line)
        self.mysql.reload()
        host, port = engine.address(self.mysql, MYSQL_PORT)
        self.database = Database(host, port, values.get("DB_PASSWD", "").strip("'\""), self.project)
        wait_until(self._database_answers, f"the database of {self.project} to answer", within=STEP)

    def _made(self) -> bool:
        self.makeproject.reload()
        return bool(self.makeproject.status in ("exited", "dead"))

    def _database_answers(self) -> bool:
        try:
            return bool(self.database.rows("SELECT COUNT(*) AS n FROM user"))
        except DatabaseGone:
            return False

    def run(self, *, within: Deadline | float = STEP) -> None:
        """Start apache, and with it the daemons; wait until the project serves clients."""
        client, deadline = engine.connect(), Deadline.of(within)
        for tried in range(1, TRIED + 1):
            self.apache.start()
            client.networks.get(self._rig.control_network).connect(self.apache, aliases=["control"])
            try:
                self._wait(lambda: self.answers() and self._has_feeder(), "serve clients", deadline)
                break
            except ContainerFailed:
                if tried == TRIED:
                    raise
                containers.remove_quietly(str(self.apache.name))
                self._put_apache()
        client.networks.get(self._rig.volunteers_network).connect(self.apache, aliases=["boinc.test"])

    def settle(self, *, within: Deadline | float = STEP) -> None:
        """Wait for the end of the bin/start that the container began with: it sleeps 5 s, removes stop_sched, and lets no other one run."""
        if not self._settled:
            self._wait(self._started, "end its start", within)
            self._settled = True

    def _wait(self, condition: Callable[[], bool], what: str, within: Deadline | float) -> None:
        """Wait for something of the apache container. Raises `ContainerFailed` when that will not come up any more."""

        def come() -> bool:
            self.apache.reload()
            log = containers.log_tail(self.apache, 500)
            why = start_failure(self.apache.status, int(self.apache.attrs["State"].get("ExitCode") or 0), log)
            if why:
                log += self._last_words()
                raise ContainerFailed(str(self.apache.name), self._images.apache, why, log="\n".join(log.splitlines()[-LOG_TAIL:]))
            return condition()

        wait_until(come, f"{self.project} to {what}", within=within, every=EVERY, last_state=self.log)

    def _last_words(self) -> str:
        """What the start program wrote, which supervisord keeps in files."""
        if self.apache.status != "running":
            return ""
        return self.tool("tail -n 10 /var/log/supervisor/start-* 2>&1 || true", user="root")

    def _has_feeder(self) -> bool:
        """Has the feeder filled the memory that it shares with the scheduler? Before, the scheduler sends clients away for an hour."""
        return self._says("test $(wc -l < /proc/sysvipc/shm) -gt 1 && grep -q app_versions log_*/feeder.log")

    def _started(self) -> bool:
        host = self.project.partition(".")[0]
        return self._says(f"test -s run_state_{host}.xml -a ! -e pid_{host}/start.lock.{host}")

    def _says(self, condition: str) -> bool:
        with engine.guard(f"looking at the daemons of {self.project}"):
            return containers.execute(self.apache, ["sh", "-c", condition], workdir=self.layout.root).exit_code == 0

    # --- using it

    def public_url(self) -> str:
        """Where this process reaches what volunteers know as http://boinc.test."""
        self.apache.reload()
        host, port = engine.address(self.apache, WEB_PORT)
        return f"http://{host}" if port == WEB_PORT else f"http://{host}:{port}"

    def answers(self) -> bool:
        """Does the project's web server answer?"""
        try:
            page = httpx.get(f"{self.public_url()}/{self.project}/get_project_config.php", timeout=5.0, trust_env=False)
        except (httpx.TransportError, HarnessError):
            return False
        return page.is_success and "<name>" in page.text

    def tool(self, script: str, *, user: str = "") -> str:
        """Run a shell script as the project's administrator (or another user) in the project's folder; what it printed.

        Raises `ToolFailed`.
        """
        with engine.guard(f"running a tool of {self.project}"):
            done = containers.execute(
                self.apache,
                ["bash", "-ec", script],
                user=user or self.layout.user,
                workdir=self.layout.root,
                environment={"USER": self.layout.user},
            )
        if done.exit_code:
            raise ToolFailed(script, done.exit_code, done.text)
        return done.text

    def path(self, relative: str) -> str:
        return f"{self.layout.root}/{relative}"

    def log(self, lines: int = 200) -> str:
        """What the containers wrote, the last lines of each."""
        parts = [one for name in ("makeproject", "apache", "mysql") if (one := getattr(self, name, None)) is not None]
        return "\n".join(f"=== {one.name}\n{containers.log_tail(one, lines)}" for one in parts)

    def leave(self) -> None:
        """Be boinc.test no longer: another project takes the name."""
        for name in (self._rig.volunteers_network, self._rig.control_network):
            try:
                engine.connect().networks.get(name).disconnect(self.apache, force=True)
            except docker.errors.APIError:
                continue  # it never got that far, or is gone

    def close(self) -> None:
        """Remove all of it."""
        self._cleanup.close()


def start_failure(status: str, exit_code: int, log: str) -> str:
    """What was expected of an apache container that will not come up any more, by its state and log; "": it may still."""
    if status in ("exited", "dead"):
        return f"it to run; it ended with exit code {exit_code}"
    if _GAVE_UP.search(log):
        return "its start program (makeproject-step3.sh) to start the project; it gave up"
    return ""


def _gone(remove: Any) -> None:
    try:
        remove()
    except docker.errors.NotFound:
        return
