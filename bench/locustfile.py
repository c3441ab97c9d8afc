"""Volunteers and strangers for locust, so that as many machines as wanted can load a project.

    locust -f bench/locustfile.py --host http://SERVER/PROJECT --users 200 --spawn-rate 20
    locust -f bench/locustfile.py --host ... --master            and on each machine:  locust -f ... --worker --master-host ...

The project needs an app for 64-bit Linux with enough jobs. Each user makes an account, and is BOINC_LOAD_HOSTS computers (50)
that report a result and fetch the next, one after the other: 200 users are 10,000 computers. `Stranger` sends hostile requests;
leave them out by naming the class: locust -f ... Volunteer.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections import deque
from pathlib import Path

from locust import FastHttpUser, constant, task

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "images/server")]

from boinc_server import accounts, simulate  # noqa: E402

from bench import volunteers  # noqa: E402

HOSTS = int(os.environ.get("BOINC_LOAD_HOSTS", "50"))


class Volunteer(FastHttpUser):
    """One connection, and the computers behind it."""

    weight = 5
    wait_time = constant(0)

    def on_start(self) -> None:
        email = f"{secrets.token_hex(8)}@load.test"
        values = {"email_addr": email, "passwd_hash": accounts.passwd_hash(email, "secret"), "user_name": "Load"}
        answer = self.client.get(f"{self.host}/create_account.php", params=values, name="create_account.php")
        key = str(answer.text).partition("<authenticator>")[2].partition("<")[0]
        address = secrets.token_hex(2)
        self.computers = deque(
            simulate.SimulatedHost(key, name=f"{email}-{number}", ip_addr=f"fd00::{address}:{number:x}") for number in range(HOSTS)
        )

    @task
    def contact(self) -> None:
        computer = self.computers.popleft()
        # FastHttpUser takes bytes, whatever its types say
        body = computer.request(1.0, [simulate.Finished(name) for name in computer.held])
        with self.client.post(f"{self.host}_cgi/cgi", data=body, name="scheduler", catch_response=True) as answer:  # type: ignore[arg-type]
            if "</scheduler_reply>" not in answer.text:
                answer.failure("no scheduler reply")
            volunteers.accept(computer, answer.text)
        self.computers.append(computer)


class Stranger(FastHttpUser):
    """Somebody who sends what nobody should."""

    weight = 1
    wait_time = constant(0)

    def on_start(self) -> None:
        self.sample = simulate.SimulatedHost("0" * 32).request(1.0, [simulate.Finished("x_0")])

    @task
    def attack(self) -> None:
        path, body = volunteers.hostile_request(self.sample)
        server, _, project = str(self.host).rpartition("/")
        url = server + path.replace("/p_", f"/{project}_").replace("/p/", f"/{project}/")
        with self.client.post(url, data=body, name="hostile", catch_response=True) as answer:  # type: ignore[arg-type]
            if answer.status_code >= 500 or answer.status_code == 0 or "Traceback" in answer.text:
                answer.failure(f"status {answer.status_code}")
            else:
                answer.success()
