"""What can go wrong, on purpose: faults as data, each with what heals it.

    stack.faults.http("upload", status=503, times=2)     # the server's HTTP: see `harness.faults.http`
    stack.faults.kill(client)                            # processes: see `harness.faults.processes`
    stack.faults.partition(client)                       # a host's network: see `harness.faults.network`
    stack.faults.fill_disk(client)                       # a host's data directory: see `harness.faults.storage`
    stack.faults.skew(client, 3600)                      # a host's clock
    stack.faults.vbox(client, "startvm", error=...)      # its VirtualBox: see `harness.faults.vbox`

Every fault is recorded as fault.injected, and as fault.healed when it ends: by `Fault.heal()`, at the end of a `with` block, or at
the end of the scenario at the latest.
"""

from harness.faults.base import Fault, FaultsNotHealed
from harness.faults.collection import Faults

__all__ = ["Fault", "Faults", "FaultsNotHealed"]
