"""`python -m boinc_proxy`: the proxy, configured by its environment.

PROXY_SERVER         the server behind it, e.g. http://control:80
PROXY_CONTROL_HOST   host name or address that the control interface binds to
PROXY_CONTROL_TOKEN  its bearer token
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from mitmproxy.addons import core, disable_h2c, next_layer, proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from boinc_proxy import control
from boinc_proxy.addon import Faults
from boinc_proxy.record import Record
from boinc_proxy.rules import Rules


async def run() -> None:
    server, host, token = (os.environ[f"PROXY_{name}"] for name in ("SERVER", "CONTROL_HOST", "CONTROL_TOKEN"))
    rules, record = Rules(), Record()
    master = Master(Options(mode=[f"reverse:{server}@80"]))
    master.addons.add(core.Core(), proxyserver.Proxyserver(), next_layer.NextLayer(), disable_h2c.DisableH2C(), Faults(rules, record))
    # the server makes its redirects from the Host that the client named; lazily connected, it may be restarted behind us
    master.options.update(keep_host_header=True, connection_strategy="lazy", http2=False, websocket=False, rawtcp=False)
    address = socket.gethostbyname(host)
    listening = control.application(token, rules, record).listen(8081, address=address)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, master.shutdown)
    print(f"proxy for {server}; control on {address}:8081", flush=True)
    await master.run()
    listening.stop()


if __name__ == "__main__":
    try:
        asyncio.run(run())
    except KeyError as error:
        sys.exit(f"boinc_proxy: the environment variable {error} is not set")
