"""One image build: `docker buildx build`, its context, its secrets, its progress and its errors.

The command is used because the docker SDK's builder is the classic one, which knows no cache mounts and no secrets.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness import engine, settings
from harness.errors import EngineUnavailable, HarnessError, ImageBuildFailed
from harness.progress import Step
from harness.waiting import Deadline

_LAST_LINES = 25
#: "#7 [build 2/5] RUN make" and "#7 12.34 output"
_STEP = re.compile(r"#\d+ (\[[^]]+\] .*)")
_NOISE = re.compile(r"#\d+ (sha256:|DONE|CACHED|transferring|extracting|naming|writing|exporting)")


def build(
    tag: str,
    files: Iterable[tuple[str, Path]],
    *,
    suite: str,
    target: str = "",
    args: Mapping[str, str],
    within: Deadline | float,
) -> None:
    """Build one image from (path inside, path here) files with a Dockerfile at their root.

    Raises `ImageBuildFailed` (with the build's last lines), `HarnessError` for a full disk, `EngineUnavailable`.
    """
    deadline = Deadline.of(within)
    _check_engine(engine.capabilities())
    with tempfile.TemporaryDirectory(prefix="boinc-harness-build-") as folder, Step(f"building {tag}") as step:
        command = command_line(tag, suite, target, args, settings.write_secrets(Path(folder), suite))
        environment = build_environment()
        last, code = _run(command, pack(files), environment, step, deadline)
    if code != 0:
        raise _error(tag, "\n".join(last), timed_out=deadline.expired)


def _check_engine(found: engine.Capabilities) -> None:
    """Refuse engines that cannot build our images, before they say so in words that help nobody."""
    if not found.buildx:
        raise _no_buildx("")
    if found.version_tuple and found.version_tuple < engine.OLDEST_ENGINE:
        raise HarnessError(
            "the container engine is too old to build images",
            thing=f"Docker {found.version} at {found.host}",
            expected=".".join(map(str, engine.OLDEST_ENGINE)) + " or later",
            remedy="install a later one (Debian 12: docker.io of trixie); `harness doctor` says more",
        )


def command_line(tag: str, suite: str, target: str, args: Mapping[str, str], secrets: Mapping[str, Path]) -> list[str]:
    """The build command; the context comes on its standard input."""
    name = tag.split(":", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]
    command = ["docker", "buildx", "build", "--builder", "default", "--progress", "plain", "--provenance", "false", "--tag", tag]
    command += ["--label", f"org.boinc-harness.image={name}", "--label", f"org.boinc-harness.suite={suite}"]
    if target:
        command += ["--target", target]
    for argument, value in args.items():
        command += ["--build-arg", f"{argument}={value}"]
    proxies = settings.proxies()  # BuildKit passes them to RUN and keeps them out of the image and of the cache key
    for variable in proxies:
        command += ["--build-arg", variable]  # the value comes from the environment: it may hold a password
    if any(re.search(r"://([^@/]*@)?(localhost|127\.|\[::1\])", value) for value in proxies.values()):
        command += ["--network", "host"]  # a proxy on this machine's loopback is out of reach from a build's own network
    for secret, path in secrets.items():
        command += ["--secret", f"id={secret},src={path}"]
    return [*command, "-"]


def build_environment() -> dict[str, str]:
    """The environment of the build command: our engine, its default builder, and the proxies in both spellings."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DOCKER_CONTEXT", "BUILDX_BUILDER", "DOCKER_DEFAULT_PLATFORM")}
    return {**kept, **settings.proxies(), "DOCKER_HOST": engine.host(), "DOCKER_BUILDKIT": "1"}


def pack(files: Iterable[tuple[str, Path]]) -> bytes:
    """A build context as a tar, the same bytes for the same files: no owners, no times."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, path in files:
            info = tar.gettarinfo(str(path), arcname=name)
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = ""
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return stream.getvalue()


def _run(command: list[str], context: bytes, environment: Mapping[str, str], step: Step, deadline: Deadline) -> tuple[deque[str], int]:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment))
    except OSError as error:
        raise _no_buildx(str(error)) from error
    assert process.stdin is not None
    assert process.stdout is not None
    killer = threading.Timer(deadline.remaining, process.kill)
    killer.start()
    writer = threading.Thread(target=_feed, args=(process.stdin, context), daemon=True)
    writer.start()
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            if not line or _NOISE.match(line):
                continue
            last.append(line)
            found = _STEP.match(line)
            step.now(found[1] if found else re.sub(r"^#\d+ ", "", line))
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        killer.cancel()
        process.stdout.close()
    return last, code


def _feed(stdin: io.BufferedIOBase, context: bytes) -> None:
    """Send the context from a thread of its own: the build may end (or fail) before it has read all of it."""
    try:
        stdin.write(context)
        stdin.close()
    except OSError:
        pass


def _no_buildx(details: str) -> HarnessError:
    return HarnessError(
        "images cannot be built here",
        expected="the docker command with its buildx plugin",
        remedy="install it (Debian: apt install docker-cli docker-buildx; elsewhere the package docker-buildx-plugin)",
        details=details,
    )


def _error(tag: str, text: str, *, timed_out: bool) -> HarnessError:
    """What a failed build means, from its last lines."""
    low = text.lower()
    if "no space left on device" in low:
        return engine.disk_full(f"building {tag}", text)
    if "cannot connect to the docker daemon" in low or ("connection refused" in low and "docker.sock" in low):
        return EngineUnavailable(
            f"the container engine stopped answering while building {tag}", thing=engine.host(), remedy="start it: ./run", details=text
        )
    if ("unknown command" in low and "buildx" in low) or "unknown flag: --builder" in low:
        return _no_buildx(text)
    if timed_out:
        return ImageBuildFailed(
            "an image build took too long and was stopped", thing=tag, remedy="run it again: finished steps are kept", details=text
        )
    remedy = "the build's last lines are below; its Dockerfile is in images/"
    if any(
        sign in low for sign in ("temporary failure resolving", "could not resolve", "unable to locate package", "connection timed out")
    ):
        remedy = "check that this machine's apt, pip and npm settings (and http_proxy) reach their mirrors; the last lines are below"
    return ImageBuildFailed("an image could not be built", thing=tag, remedy=remedy, details=text)
