"""BOINC Manager as a volunteer uses it: seen and touched in a browser, with its effects asked of the client and the server."""

from pathlib import Path
from typing import Any

import pytest

from harness import JobState
from harness.faults.vbox import VMX_DISABLED
from harness.guirpc import ActiveTaskState
from harness.guirpc import Result as Task
from harness.stack import Stack
from harness.vbox_app import VmApp
from harness.waiting import wait_until
from scenarios.gui.screen import CHOSEN, INK, SOON, Box, Screen

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
EMAIL, PASSWORD = "ada@example.test", "Lovelace1843"


def first_row(main: Box) -> Box:
    """The first task of the list."""
    return main.part(210, 98, 980, 20)


def suspend_button(main: Box) -> Box:
    """Suspend, or Resume when the chosen task is suspended."""
    return main.part(20, 206, 160, 26)


@pytest.mark.real_time("a person looks at it")
def test_a_new_volunteer_joins_through_the_wizard_and_suspends_a_task(stack: Stack, tab: Any, pictures: Path) -> None:
    project = stack.project
    job = project.submit("sleeper", command_line="600")
    client = stack.client(gui=True)
    screen = Screen(tab, client, pictures)

    # a client without a project: the wizard opens by itself
    main, wizard = screen.wait_windows(2)
    url = wizard.part(104, -137, 632, 38)
    screen.wait_colour(wizard.part(-210, -45, 200, 36), INK, 50, "the wizard's buttons")
    screen.picture("choose-a-project")
    screen.click(url)
    screen.wait_colour(url, CHOSEN, 300, "the cursor in the field for the URL")
    screen.type(project.master_url)
    screen.press("Enter")

    # it does not know the project from a list, so it asks whether we mean it
    screen.wait_windows(3)
    screen.picture("really")
    screen.press("Enter")
    screen.wait_windows(2)

    email, password, again = (wizard.part(153, top, 584, 40) for top in (134, 178, 222))
    screen.wait_colour(email, CHOSEN, 300, "the cursor in the field for the email address")
    screen.type(EMAIL)
    screen.press("Tab")
    screen.wait_colour(password, CHOSEN, 300, "the cursor in the field for the password")
    screen.type(PASSWORD)
    screen.press("Tab")
    screen.wait_colour(again, CHOSEN, 300, "the cursor in the field for the password once more")
    screen.type(PASSWORD)
    screen.picture("who-are-you")
    screen.press("Enter")

    wait_until(lambda: [one for one in client.projects() if one.master_url == project.master_url], "the client attached", within=SOON)
    assert EMAIL in {user["email_addr"] for user in project.users()}

    def finished() -> bool:
        screen.click(wizard.part(-190, -43, 84, 32))  # Next, which cannot be pressed while it works, becomes Finish
        return len(screen.windows()) == 1

    wait_until(finished, "the wizard closed", within=SOON, every=1.0)
    screen.picture("attached")

    client.wait_task(active_state="EXECUTING", within=60)
    screen.wait_colour(first_row(main), INK, 200, "a task in the list")
    screen.click(first_row(main))
    screen.wait_colour(first_row(main), CHOSEN, 5000, "the task chosen")
    screen.wait_colour(suspend_button(main), INK, 40, "the button Suspend")
    screen.picture("running")

    name = job.results()[0].name
    screen.click(suspend_button(main))
    wait_until(lambda: client.task(name).suspended_via_gui, "the task suspended", within=SOON)
    wait_until(lambda: not executes(client.task(name)), "the task at rest", within=SOON)
    screen.picture("suspended")
    screen.click(suspend_button(main))
    wait_until(lambda: executes(client.task(name)), "the task running again", within=SOON)
    assert not client.task(name).suspended_via_gui
    screen.picture("resumed")


def notices(main: Box) -> Box:
    """The tab with the notices."""
    return main.part(20, 42, 90, 22)


def below_the_tabs(main: Box) -> Box:
    return main.part(10, 80, 1160, 500)


@pytest.mark.real_time("a person looks at it")
def test_a_host_without_vt_x_says_so_in_the_managers_notices(stack: Stack, tab: Any, pictures: Path) -> None:
    client = stack.client(vbox=True, attach=True)
    stack.faults.vbox(client, "startvm", error=VMX_DISABLED)
    VmApp.install(stack.project).submit("true")
    client.update(stack.project)
    client.wait_message("is switched off on this computer", within=60)

    screen = Screen(tab, client, pictures)
    main = screen.wait_windows(1)[0]
    screen.wait_colour(first_row(main), INK, 100, "the task in the list")
    screen.picture("task-postponed")
    wait_until(lambda: "is switched off on this computer" in str(client.rpc().get_notices(0)), "the notice", within=SOON)
    screen.click(notices(main))
    screen.wait_colour(notices(main).part(0, 20, 100, 12), CHOSEN, 80, "the line below the tab that is open")
    screen.wait_colour(below_the_tabs(main), INK, 800, "the words of a notice")
    screen.picture("notice")


def executes(task: Task) -> bool:
    return task.active_task is not None and task.active_task.active_task_state == ActiveTaskState.EXECUTING


def test_a_manager_beside_a_client_shows_a_finished_task_and_outlives_the_clients_end(stack: Stack, tab: Any, pictures: Path) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60")
    name = str(client.wait_task(active_state="EXECUTING", within=60).get("result"))
    stack.project.configure(stop_sched=1)  # so that it is not reported, which would take it off the list
    wait_until(lambda: client.task(name).ready_to_report, "a finished task", within=60)

    screen = Screen(tab, client, pictures)
    main = screen.wait_windows(1)[0]
    screen.wait_colour(first_row(main), INK, 200, "a task in the list")
    screen.picture("finished")

    client.kill()
    wait_until(lambda: screen.count(first_row(main), INK) < 50, "an empty list", within=SOON, every=0.2)
    screen.picture("the-client-is-gone")
    client.start_again()
    screen.wait_colour(first_row(main), INK, 200, "the task again")
    screen.picture("the-client-is-back")

    stack.project.configure(stop_sched=0)
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)
    wait_until(lambda: screen.count(first_row(main), INK) < 50, "an empty list", within=SOON, every=0.2)
    screen.picture("reported")
