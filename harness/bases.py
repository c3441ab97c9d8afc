"""The base images: Debian of one suite, from a registry if one answers, else bootstrapped from this machine's apt sources.

`pull` takes `debian:SUITE-slim` from whatever registry the engine uses. Where none answers within a few seconds, `bootstrap` makes
its like with mmdebstrap: variant minbase, without documentation, manual pages and locales, with file times clamped to
SOURCE_DATE_EPOCH so that the same packages give the same image. Neither leaves a mirror of this machine in the image.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import IO

from harness import apt, dockerhttp, engine, locks, settings
from harness.errors import HarnessError, ImageBuildFailed
from harness.progress import Step
from harness.waiting import Deadline

SUITES = ("bookworm", "trixie", "sid")
#: seconds a registry has to prove that it is there, and then to deliver
PROBE_WITHIN, PULL_WITHIN = 6.0, 300.0
BOOTSTRAP_WITHIN = 900.0
INSTALL_WITHIN = 300.0
#: 2026-01-01: later file times are clamped to it
SOURCE_DATE_EPOCH = 1767225600

_HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_DPKG = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/lintian/*",
)
_APT = ('Acquire::Languages "none"',)


def recipe() -> str:
    """Everything that decides what a bootstrapped base contains, for its content key."""
    return "\n".join((*_DPKG, *_APT, str(SOURCE_DATE_EPOCH), "minbase merged-usr 1"))


def make(suite: str, tag: str) -> None:
    """Make the base image of a suite and give it that tag. Raises `HarnessError`."""
    if not pull(suite, tag):
        bootstrap(suite, tag)


def pull(suite: str, tag: str) -> bool:
    """Take `debian:SUITE-slim` from the engine (which may have it already) or from its registry. False if no registry answers."""
    client = engine.connect()
    name = f"debian:{suite}-slim"
    import docker.errors  # noqa: PLC0415

    with engine.guard(f"looking for {name}"):
        if not client.images.list(name=name):
            if not registry_answers(name):
                return False
            with Step(f"pulling {name}"):
                done = subprocess.run(["docker", "pull", "--quiet", name], capture_output=True, timeout=PULL_WITHIN, check=False)
            if done.returncode != 0:
                return False
        try:
            return bool(client.images.get(name).tag(*tag.rsplit(":", 1)))
        except docker.errors.ImageNotFound:
            return False


def registry_answers(name: str) -> bool:
    """Whether the engine's registry knows an image: asked through the engine, since it may reach one that this process does not."""
    host = engine.host()
    if not dockerhttp.speaks(host):
        return True  # then the pull itself has to find out
    try:
        status, _ = dockerhttp.get(host, f"/distribution/{name}/json", timeout=PROBE_WITHIN)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200


def bootstrap(suite: str, tag: str) -> None:
    """Make a suite's minbase image from this machine's apt sources. Needs root. Raises `HarnessError`."""
    entries = apt.for_suite(suite)
    what = f"the base image of Debian {suite} cannot be made"
    if entries is None:
        raise HarnessError(
            what,
            expected="an image registry that answers, or a Debian mirror in apt's settings",
            remedy="give the engine access to a registry",
        )
    _need_mmdebstrap(what)
    deadline = Deadline(BOOTSTRAP_WITHIN)
    with tempfile.TemporaryDirectory(prefix="boinc-harness-base-") as folder, Step(f"bootstrapping Debian {suite}") as step:
        sources = Path(folder, "debian.sources")
        sources.write_text("\n".join(entry.deb822() for entry in entries), encoding="utf-8")
        archive = Path(folder, "base.tar")
        _run_mmdebstrap(suite, sources, archive, step, deadline)
        step.now("docker import")
        done = subprocess.run(
            ["docker", "import", "--change", 'CMD ["bash"]', "--message", f"Debian {suite}, minbase", str(archive), tag],
            capture_output=True,
            text=True,
            timeout=deadline.remaining,
            check=False,
        )
    if done.returncode != 0:
        if "no space left on device" in done.stderr:
            raise engine.disk_full(f"importing Debian {suite}", done.stderr)
        raise ImageBuildFailed(what, thing=tag, expected="docker import to take it", details=done.stderr)


def _need_mmdebstrap(what: str) -> None:
    """Have mmdebstrap here and be root, installing it on Debian when it is missing."""
    if os.getuid() != 0:
        raise HarnessError(
            what,
            expected="an image registry that answers (or root, to bootstrap Debian without one)",
            remedy="give the engine access to a registry, or run this once as root",
        )
    # Bases are made two at a time, and only one may install; another apt on this machine is waited for, too.
    with locks.held("mmdebstrap", within=INSTALL_WITHIN):
        if shutil.which("mmdebstrap") is not None:
            return
        with Step("installing the Debian package mmdebstrap"):
            done = subprocess.run(
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "mmdebstrap"],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                timeout=INSTALL_WITHIN,
                check=False,
            )
        if done.returncode != 0:
            raise HarnessError(what, expected="mmdebstrap", remedy="apt install mmdebstrap", details=done.stderr)


def _run_mmdebstrap(suite: str, sources: Path, archive: Path, step: Step, deadline: Deadline) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"]
    command += [f"--dpkgopt={option}" for option in _DPKG] + [f"--aptopt={option}" for option in _APT]
    if _HOOKS.is_dir() and suite == "bookworm":
        command.append(f"--hook-dir={_HOOKS}")  # else bookworm's usrmerge comes, and perl with it
    command.append('--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*')
    command.append('--customize-hook=rm -f "$1"/etc/resolv.conf "$1"/etc/hostname')
    command += [suite, str(archive), str(sources)]
    environment = {**os.environ, **settings.proxies(), "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH)}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
    ) as process:
        assert process.stderr is not None
        last = _follow(process.stderr, step, deadline, process)
    if process.returncode != 0:
        raise ImageBuildFailed(
            f"Debian {suite} could not be bootstrapped",
            expected="mmdebstrap to end well",
            remedy="check that apt's mirror serves this suite, and the disk",
            details="\n".join(last),
        )


def _follow(lines: IO[str], step: Step, deadline: Deadline, process: subprocess.Popen[str]) -> deque[str]:
    """Show mmdebstrap's lines as progress; the last ones, for an error."""
    last: deque[str] = deque(maxlen=12)
    for line in lines:
        last.append(line.rstrip())
        step.now(line.removeprefix("I: "))
        if deadline.expired:
            process.terminate()
    return last


if __name__ == "__main__":
    bootstrap(sys.argv[1], sys.argv[2])
