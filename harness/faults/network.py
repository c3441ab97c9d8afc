"""A host's network: cut off, refused, lossy, slow.

Done from inside the host's network namespace by a short-lived container with the right to do so, so that it works with any engine and
the client's own container stays without privileges. The harness's own GUI RPCs still get through: only what concerns the project
server, or whatever stands in its place, is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness import containers
from harness.errors import HarnessError
from harness.faults.base import Fault

if TYPE_CHECKING:
    from harness.client import Client
    from harness.stack import Stack

#: how packets of a partition end: silently dropped, or refused
PARTITIONS = {"drop": "-j DROP", "reject": "-j REJECT --reject-with tcp-reset -p tcp"}


class NetworkFaults:
    """Part of `Faults`."""

    stack: Stack
    add: Callable[..., Fault]

    def partition(self, client: Client, *, how: str = "drop") -> Fault:
        """Cut a host off from the project server. `how`: "drop" (packets vanish) or "reject" (connections are reset)."""
        if how not in PARTITIONS:
            raise HarnessError("unknown kind of partition", thing=how, expected=f"one of {', '.join(PARTITIONS)}")
        return self._filter(client, "partition", PARTITIONS[how], how=how)

    def lose(self, client: Client, share: float) -> Fault:
        """Drop that share (0 to 1) of the packets between a host and the project server, at random."""
        return self._filter(client, "loss", f"-m statistic --mode random --probability {share:g} -j DROP", share=share)

    def _filter(self, client: Client, kind: str, rule: str, **data: object) -> Fault:
        # the rule names the web port, not an address: the server may come back with another one
        def rules(verb: str) -> str:
            return f"iptables {verb} OUTPUT -p tcp --dport 80 {rule.removesuffix('-p tcp')}"

        containers.run_in_network_of(client.container, rules("-I"))
        return self.add(kind, client.name, lambda: heal_network(client, rules("-D")), **data)

    def slow_network(self, client: Client, *, kilobytes_per_second: float) -> Fault:
        """Limit what a host sends and receives; uploads and downloads feel it, and so do GUI RPCs."""
        bits = int(kilobytes_per_second * 8)
        containers.run_in_network_of(client.container, f"tc qdisc replace dev eth0 root tbf rate {bits}kbit burst 16kb latency 400ms")
        heal = "tc qdisc del dev eth0 root"
        return self.add("rate", client.name, lambda: heal_network(client, heal), kilobytes_per_second=kilobytes_per_second)


def heal_network(client: Client, command: str) -> None:
    """Undo it, unless the namespace it was done in is gone."""
    client.container.reload()
    if client.container.status in ("running", "paused"):
        containers.run_in_network_of(client.container, command)
