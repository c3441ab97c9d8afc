"""Removing what killed runs left behind: containers, networks, volumes and images of jobs whose owning process is gone.

Every run sweeps when it starts and when it ends; `harness sweep` does it by hand. What a living process uses is never touched,
on whatever machine it lives, nor what was kept on purpose (`--keep`, `harness up --detach`) unless that is asked for.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness import docker_host, engine, labels

#: seconds after which things whose owner cannot be looked up from here (another machine, another container) count as left behind
FOREIGN_AGE = 24 * 3600.0


class Owner(Enum):
    """What became of the process that made a thing."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Thing:
    """A container, network, volume or job's image of ours: what the engine lists of it."""

    kind: str
    id: str
    name: str
    labels: Mapping[str, str]
    created: float  #: unix seconds; 0 where the engine does not say


@dataclass
class Swept:
    """What a sweep did: names by kind, and what could not be removed with the reason."""

    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def containers(self) -> Sequence[str]:
        return self.removed.get("container", [])

    @property
    def networks(self) -> Sequence[str]:
        return self.removed.get("network", [])

    @property
    def volumes(self) -> Sequence[str]:
        return self.removed.get("volume", [])

    def __bool__(self) -> bool:
        return any(self.removed.values()) or bool(self.failed)

    def describe(self) -> str:
        """One line for a person, and one more for each thing that stayed against our will."""
        counts = [f"{len(names)} {kind}{'s' if len(names) != 1 else ''}" for kind, names in self.removed.items() if names]
        lines = [f"removed {', '.join(counts)}" if counts else "nothing was left behind"]
        lines += [f"  could not remove {name}: {why}" for name, why in self.failed.items()]
        return "\n".join(lines)


def owner_of(
    found: Mapping[str, str],
    *,
    machine: str,
    boot: str,
    namespace: str,
    start_time: Callable[[int], str | None],
) -> Owner:
    """What became of the process that some labels name, as far as one can tell on this machine, boot and pid namespace."""
    pid = found.get(labels.PID, "")
    if not pid.isdecimal() or found.get(labels.MACHINE, "unknown") == "unknown":
        return Owner.UNKNOWN
    if found.get(labels.BOOT) != boot:
        return Owner.GONE if found[labels.MACHINE] == machine else Owner.UNKNOWN  # this machine has been restarted since
    if found.get(labels.NAMESPACE) != namespace:
        return Owner.UNKNOWN
    return Owner.ALIVE if start_time(int(pid)) == found.get(labels.START) else Owner.GONE


def is_left_over(thing: Thing, owner: Owner, *, kept: bool, now: float) -> bool:
    """Whether to remove a thing; `kept`: also what was kept on purpose."""
    if thing.labels.get(labels.KEEP) and not kept:
        return False
    if owner is Owner.UNKNOWN:
        return thing.created > 0 and now - thing.created > FOREIGN_AGE
    return owner is Owner.GONE


def sweep(*, kept: bool = False, run: str = "") -> Swept:
    """Remove what is left over; with `run`, only of that run. `kept`: also what was kept on purpose. Raises `EngineUnavailable`."""
    found = [thing for thing in _list() if not run or thing.labels.get(labels.RUN) == run]
    now = time.time()
    left_over = [thing for thing in found if is_left_over(thing, _owner(thing.labels), kept=kept, now=now)]
    return remove(left_over + images_without_run(found, left_over))


def images_without_run(found: Sequence[Thing], left_over: Sequence[Thing]) -> list[Thing]:
    """Images that volunteers' jobs left on this engine, of runs of which nothing else stays. Their names are all that they say."""
    nameless = [thing for thing in found if thing.kind == "image" and labels.PID not in thing.labels]
    staying = {thing.labels[labels.RUN] for thing in found if thing not in left_over and thing not in nameless}
    return [thing for thing in nameless if thing.labels[labels.RUN] not in staying]


def left_by(run: str) -> list[Thing]:
    """What there is of one run, alive or not: for checks that nothing is left."""
    return [thing for thing in _list() if thing.labels.get(labels.RUN) == run]


def _owner(found: Mapping[str, str]) -> Owner:
    return owner_of(
        found,
        machine=labels.machine_id(),
        boot=labels.boot_id(),
        namespace=labels.pid_namespace(),
        start_time=labels.start_time,
    )


def _list() -> list[Thing]:
    """All containers, networks, volumes and jobs' images of ours, in the order in which they can be removed."""
    api = engine.connect().api
    wanted = {"label": [labels.RUN]}
    with engine.guard("looking for what was left behind"):
        containers: Iterable[Mapping[str, Any]] = api.containers(all=True, filters=wanted)
        networks: Iterable[Mapping[str, Any]] = api.networks(filters=wanted)
        volumes: Iterable[Mapping[str, Any]] = (api.volumes(filters=wanted) or {}).get("Volumes") or []
        images: Iterable[Mapping[str, Any]] = api.images(filters=wanted)
        of_jobs: Iterable[Mapping[str, Any]] = api.images(name=f"{docker_host.NAMES}/*/*/*")
    things = [
        Thing("container", c["Id"], (c.get("Names") or [c["Id"][:12]])[0].lstrip("/"), c.get("Labels") or {}, float(c.get("Created") or 0))
        for c in containers
    ]
    things += [Thing("network", n["Id"], n["Name"], n.get("Labels") or {}, _seconds(n.get("Created"))) for n in networks]
    things += [Thing("volume", v["Name"], v["Name"], v.get("Labels") or {}, _seconds(v.get("CreatedAt"))) for v in volumes]
    things += [Thing("image", i["Id"], (i.get("RepoTags") or [i["Id"]])[0], i.get("Labels") or {}, 0.0) for i in images]
    names = [name for i in of_jobs for name in i.get("RepoTags") or () if docker_host.run_of(name)]
    things += [Thing("image", name, name, {labels.RUN: docker_host.run_of(name)}, 0.0) for name in names]
    return things


def _seconds(stamp: object) -> float:
    """Unix seconds of the engine's time stamps; they have nanoseconds, which the standard library does not read."""
    text = str(stamp or "")
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[: min(digits, 6)]}{tail[digits:]}"
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def remove(things: Iterable[Thing]) -> Swept:
    """Remove things: containers first, since networks and volumes in use cannot go. What is gone already counts as nobody's."""
    result = Swept()
    todo = list(things)
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="sweep") as pool:
        for kind in ("container", "network", "volume", "image"):
            batch = [thing for thing in todo if thing.kind == kind]
            for thing, why in zip(batch, pool.map(_remove, batch), strict=True):
                if why is None:
                    result.removed.setdefault(kind, []).append(thing.name)
                elif why:
                    result.failed[f"{kind} {thing.name}"] = why
    return result


def _remove(thing: Thing) -> str | None:
    """Remove one thing: None if this removed it, "" if somebody else did, else the reason why it is still there."""
    import docker.errors  # noqa: PLC0415  (imported by the connection anyway)

    api = engine.connect().api
    try:
        if thing.kind == "container":
            api.remove_container(thing.id, v=True, force=True)
        elif thing.kind == "network":
            api.remove_network(thing.id)
        elif thing.kind == "volume":
            api.remove_volume(thing.id, force=True)
        else:
            api.remove_image(thing.id)
    except docker.errors.NotFound:
        return ""
    except docker.errors.APIError as error:
        if "already in progress" in str(error.explanation):
            return ""
        return str(error.explanation or error)
    return None
