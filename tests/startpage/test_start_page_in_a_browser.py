"""The start page in a real Chromium: wide and narrow, light and dark, by keyboard alone, following along."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.startpage import Site
from harness.waiting import wait_until
from tests.startpage.fake import FakeStack, FakeVm, site_of

pytestmark = pytest.mark.browser
#: seconds from an event to the screen, with as many events on the page as it keeps
SHOWN_WITHIN = 0.5
MOST_ON_PAGE = 10_000
#: what Chromium says when other tests' containers come and go
OTHERS = "ERR_NETWORK_CHANGED"


@pytest.fixture
def world() -> FakeStack:
    world = FakeStack()
    world.events(30)
    world.clients[1].is_running = False
    return world


@pytest.fixture
def site(world: FakeStack) -> Iterator[Site]:
    site = site_of(world)
    site.start()
    yield site
    site.stop()


def opened(
    browser: Any, site: Site, *, width: int = 1300, scheme: str = "light", path: str = "", wait: str = "#log time"
) -> tuple[Any, list[str]]:
    """The page, and a list that grows by each error of its console."""
    tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    errors: list[str] = []
    tab.on(
        "console",
        lambda message: errors.append(message.text) if message.type in ("error", "warning") and OTHERS not in message.text else None,
    )
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(site.url + path)
    tab.wait_for_selector(wait)
    return tab, errors


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_it_is_drawn_without_errors_and_fits_the_width(browser: Any, site: Site, tmp_path: Path, width: int, scheme: str) -> None:
    site.said = "submitted uppercase_1"
    tab, errors = opened(browser, site, width=width, scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 1600})  # what is out of sight is not drawn
    tab.screenshot(path=str(tmp_path / f"start-{width}-{scheme}.png"))
    assert errors == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    darkness = sum(int(number) for number in background[4:-1].split(",")) < 3 * 128
    assert darkness == (scheme == "dark")
    assert tab.locator("#log li").count() == 30
    assert "message 29" in tab.locator("#log li").first.text_content()
    for button in tab.locator("button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] >= 24


def test_the_keyboard_is_enough(browser: Any, site: Site, world: FakeStack) -> None:
    tab, errors = opened(browser, site)
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        words = tab.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        if tab.evaluate("document.activeElement === document.body"):
            break
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", words
        reached.append(words)
    for wanted in (
        "Submit a job",
        "Skip a day",
        "Kill",
        "Open Manager",
        "Start again",
        "the timeline, following along",
        "Events, newest first",
    ):
        assert wanted in reached
    tab.get_by_role("button", name="Submit a job").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("[role=status]")
    assert tab.inner_text("[role=status]") == "submitted uppercase_1"
    tab.get_by_role("button", name="Kill").focus()
    tab.keyboard.press("Space")
    tab.wait_for_selector("[role=status]:has-text('host1 was killed')")
    assert world.did == ["submit uppercase", "kill host1"]
    assert errors == []


def test_an_opened_manager_is_a_link(browser: Any, site: Site) -> None:
    tab, errors = opened(browser, site)
    tab.get_by_role("button", name="Open Manager").click()
    link = tab.get_by_role("link", name="BOINC Manager")
    assert link.get_attribute("href").endswith("#autoconnect=true&password=a<b")
    assert link.get_attribute("rel") == "noopener"
    assert errors == []


def test_names_and_messages_run_nothing(browser: Any, site: Site, world: FakeStack) -> None:
    evil = '"><img src=x onerror="document.title=1"><script>document.title=2</script>'
    world.clients[0].name = evil
    world.history.add("client.message", evil, text=evil)
    tab, errors = opened(browser, site)
    assert tab.title() == "A BOINC world"
    assert evil in tab.locator("#log li").first.text_content()
    assert evil in tab.inner_text("tbody")
    assert tab.locator("img").count() == 0
    assert errors == []


def seconds_to_screen(tab: Any, world: FakeStack, text: str) -> float:
    """Let seven things happen: the median until `text` (JavaScript) has one of them, painted."""
    tab.evaluate(
        "() => { window.seen = []; new MutationObserver(() => requestAnimationFrame(() => setTimeout(() =>"
        f" seen.push([{text}, Date.now() / 1000])))).observe(document.getElementById('log'), {{childList: true, subtree: true}}); }}"
    )

    def shown(name: str) -> float | None:
        return next((at for text, at in tab.evaluate("seen") if name in text), None)

    took = []
    for name in (f"wu_{world.last_line}_{letter}" for letter in "abcdefg"):
        event = world.history.add("job.validated", "server", workunit=name)
        took.append(wait_until(partial(shown, name), f"{name} on the screen", within=20, every=0.2) - event.real)
    print("event to screen, s:", [round(one, 3) for one in sorted(took)])
    return sorted(took)[3]


def assert_at_once(many: float, few: float) -> None:
    """With as many events as the page keeps one is on the screen at once; on a busy machine, not much later than with few events."""
    assert many <= max(SHOWN_WITHIN, 4 * few), f"{many:.2f} s with {MOST_ON_PAGE} events, {few:.2f} s with few"


def test_events_follow_at_once_however_many_there_are(browser: Any, site: Site, world: FakeStack) -> None:
    newest = "document.querySelector('#log li').textContent"
    few = seconds_to_screen(opened(browser, site)[0], world, newest)
    world.events(MOST_ON_PAGE)
    tab, errors = opened(browser, site)
    wait_until(lambda: tab.locator("#log li").count() >= MOST_ON_PAGE, "all events on the page", within=60, every=0.5)
    assert_at_once(seconds_to_screen(tab, world, newest), few)
    assert MOST_ON_PAGE <= tab.locator("#log li").count() <= MOST_ON_PAGE + 100
    assert errors == []


def test_a_world_that_has_ended_is_told_in_words(browser: Any, world: FakeStack) -> None:
    site = site_of(world)
    site.start()
    tab, _ = opened(browser, site)
    assert tab.locator("#gone").is_hidden()
    site.stop()
    tab.wait_for_selector("#gone:visible", timeout=45_000)
    assert "does not answer any more" in tab.inner_text("[role=alert]")
    assert "gone" in tab.title()


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (390, "dark")])
def test_the_timeline_follows_at_once_however_many_events_there_are(
    browser: Any, site: Site, world: FakeStack, tmp_path: Path, width: int, scheme: str
) -> None:
    look: dict[str, Any] = {"width": width, "scheme": scheme, "path": "timeline", "wait": "html[data-ready] #log .row"}
    all_of_it = "document.getElementById('log').textContent"
    few = seconds_to_screen(opened(browser, site, **look)[0], world, all_of_it)
    for number in range(MOST_ON_PAGE // 5):
        task = f"wu_{number % 30}_0"
        world.history.add("client.message", "host1", client="host1", text=f"Starting task {task}", pri=1)
        world.history.add("task.state", "host1", client="host1", result=task, state="FILES_DOWNLOADED", active_state="EXECUTING")
        world.history.add("client.message", "host2", client="host2", text="Sending scheduler request", pri=1)
        world.history.add("rpc.scheduler", "server", host=1, sent=[task])
        world.history.add("task.state", "host1", client="host1", result=task, state="FILES_UPLOADED")
    tab, errors = opened(browser, site, **look)
    assert tab.inner_text(".outcome") == "Running"
    assert_at_once(seconds_to_screen(tab, world, all_of_it), few)
    tab.screenshot(path=str(tmp_path / f"timeline-{width}-{scheme}.png"))
    assert tab.inner_text("#found") == f"{world.last_line} events"
    assert errors == []


def test_a_timeline_that_begins_empty_gets_its_lanes_and_keeps_what_was_chosen(browser: Any, site: Site, world: FakeStack) -> None:
    tab, errors = opened(browser, site, path="timeline", wait="html[data-ready] #log .row")
    tab.locator("#log .row").last.click()
    chosen = tab.inner_text("#detail")
    # a server's lane goes above those that are there, and this event is older than all of them
    world.history.add("job.created", "server", real=world.first.real - 10, virtual=world.first.virtual - 10, workunit="wu_early")
    tab.wait_for_selector("#log .row:has-text('wu_early')")
    assert tab.inner_text("#detail") == chosen
    assert tab.inner_text("#found") == f"{world.last_line} events"
    tab.locator("#log .row", has_text="message 29").first.click()
    assert "10.0 s" in tab.inner_text("#detail")
    tab.fill("#find", "wu_early")
    assert tab.inner_text("#found") == f"1 of {world.last_line} events"
    world.history.add("job.validated", "server", workunit="wu_early")
    tab.wait_for_selector("#log .row:has-text('job.validated')")
    assert tab.inner_text("#found") == f"2 of {world.last_line} events"
    site.stop()
    tab.wait_for_selector(".outcome:has-text('Ended')", timeout=45_000)
    assert [one for one in errors if "ERR_CONNECTION" not in one] == []


def test_the_screen_of_a_virtual_machine_is_drawn_and_followed(browser: Any, site: Site, world: FakeStack, tmp_path: Path) -> None:
    host = world.clients[0]
    host.has_virtualbox = True
    tab, errors = opened(browser, site, path="screen?client=host1", wait="#state:has-text('no virtual machine runs')")
    vm = FakeVm(picture=tab.screenshot(type="png"))
    host.virtualbox.vms.append(vm)
    tab.wait_for_selector("#screen:visible")
    wait_until(lambda: vm.pictures >= 3, "three pictures", within=20, every=0.2)
    tab.screenshot(path=str(tmp_path / "screen.png"))
    host.virtualbox.vms.clear()
    tab.wait_for_selector("#screen", state="hidden")
    assert errors == []
