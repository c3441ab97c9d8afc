"""Preferences: made on the web or on a host, obeyed by the client."""

import time

import pytest

from harness import JobState
from harness.client import Client
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

pytestmark = pytest.mark.virtual_time(reason="it skips hours")

HOUR = 3600


def working(client: Client, name: str) -> float:
    """A preference that the client obeys just now."""
    node = client.rpc().get_global_prefs_working().find(name)
    return float(node.text) if node is not None else float("nan")


def general(stack: Stack, wishes: str) -> None:
    """General preferences that the volunteer makes on the project's web page, now."""
    made = f"<mod_time>{stack.clock.now():.0f}</mod_time>\n{wishes}\n"
    stack.project.edit("user", stack.project.account().id, global_prefs=f"<global_preferences>\n{made}</global_preferences>\n")


def test_preferences_of_the_account_reach_its_hosts(stack: Stack, client_version: ClientVersion) -> None:
    general(stack, "<idle_time_to_run>7</idle_time_to_run>")
    clients = stack.start_clients(2, attach=True)
    for client in clients:
        wait_until(lambda client=client: working(client, "idle_time_to_run") == 7, "the preference", within=20)  # type: ignore[misc]

    stack.clock.skip(HOUR)
    general(stack, "<idle_time_to_run>9</idle_time_to_run>")
    for client in clients:
        client.update(stack.project)
        wait_until(lambda client=client: working(client, "idle_time_to_run") == 9, "the newer one", within=20)  # type: ignore[misc]


def test_a_venue_has_preferences_of_its_own(stack: Stack) -> None:
    general(stack, '<idle_time_to_run>7</idle_time_to_run>\n<venue name="school">\n<idle_time_to_run>11</idle_time_to_run>\n</venue>')
    stack.project.edit("user", stack.project.account().id, venue="school")

    client = stack.client(attach=True)

    wait_until(lambda: working(client, "idle_time_to_run") == 11, "the venue's preference", within=20)


def test_nothing_is_computed_outside_the_hours_of_the_day(stack: Stack) -> None:
    hour = time.gmtime(stack.clock.now()).tm_hour
    hours = {"start_hour": (hour + 3) % 24, "end_hour": (hour + 6) % 24}
    client = stack.client(attach=True, preferences=hours)
    job = stack.project.submit("sleeper", command_line="60")
    client.wait_message("Suspending computation - time of day")
    job.wait_for(JobState.SENT)
    assert not stack.history.find("task.state", active_state="EXECUTING")

    stack.clock.skip(3.5 * HOUR)
    job.wait_for(JobState.VALIDATED)
