"""Two questions to the engine's HTTP API without the docker SDK, whose import alone takes a quarter of a second.

`./run` asks on every start whether an engine answers and which images it has; everything else goes through the SDK.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from typing import cast

from harness.errors import EngineUnavailable


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def speaks(host: str) -> bool:
    """Whether `get` can talk to an engine at this address (plain unix and tcp ones; not ssh, not TLS)."""
    return host.startswith(("unix://", "tcp://"))


def get(host: str, path: str, *, timeout: float = 5.0) -> tuple[int, bytes]:
    """GET a path of the engine's API: (HTTP status, body). Raises `OSError` or `http.client.HTTPException`."""
    if host.startswith("unix://"):
        connection: http.client.HTTPConnection = _UnixConnection(host.removeprefix("unix://"), timeout)
    else:
        parts = urllib.parse.urlsplit(host)
        connection = http.client.HTTPConnection(parts.hostname or "localhost", parts.port or 2375, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def image_tags(host: str, reference: str, *, timeout: float = 15.0) -> set[str]:
    """The tags (`repository:tag`) of the engine's images whose repository matches a pattern. Raises `EngineUnavailable`."""
    query = urllib.parse.urlencode({"filters": json.dumps({"reference": [reference]})})
    try:
        status, body = get(host, f"/images/json?{query}", timeout=timeout)
        if status != 200:
            raise http.client.HTTPException(f"HTTP {status}: {body[:200].decode(errors='replace')}")
        images = cast("list[dict[str, list[str] | None]]", json.loads(body))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EngineUnavailable(
            "the container engine did not say which images it has", thing=host, details=str(error), remedy="see `harness doctor`"
        ) from error
    return {tag for image in images for tag in image.get("RepoTags") or []}
