"""Podman on a client, seen from outside, and what a client's container has to be allowed for it.

The client stays a user without rights; podman is rootless. Over a plain client's, its container needs
* SETUID and SETGID, for newuidmap and newgidmap (an image's users become ranges of user ids of the container);
* user namespaces, mounts and pivot_root, which the engine's usual seccomp filter forbids without SYS_ADMIN;
* /proc without the engine's masks: the kernel lets nobody mount a new one where the old one is partly hidden;
* new privileges, since these come from newuidmap's file capabilities.
No device, no SYS_ADMIN, nothing of the host.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.container_engine import ContainerEngine

#: arguments of the docker SDK's create
RIGHTS: Mapping[str, object] = {
    "cap_add": ["SETUID", "SETGID"],
    "security_opt": ["seccomp=unconfined"],
}
#: entries of the engine API's HostConfig
HOST_CONFIG: Mapping[str, object] = {"MaskedPaths": [], "ReadonlyPaths": []}

#: what the client runs at its start to see whether podman works; our image brings it, since there may be no registry
HELLO = "localhost/hello-world"


class Podman(ContainerEngine):
    """The podman of one running client."""

    command = ("podman", "--log-level=error")

    def remove(self, *names: str) -> None:
        self.run("rm", "--force", "--time", "0", *names)

    def images(self) -> list[str]:
        found = (line.split() for line in self.run("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}").splitlines())
        return sorted({image.removeprefix("sha256:") for repository, image in found if repository != HELLO})
