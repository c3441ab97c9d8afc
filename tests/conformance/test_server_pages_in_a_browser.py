"""The server's web pages in a real browser, without scripts: they fit, load nothing foreign, and break no rule of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

pytestmark = pytest.mark.browser
WIDTHS = (1280, 480)
EVIL = '<img src=x onerror=alert(1)> "quotes" & <b>bold</b>'


@pytest.fixture
def busy(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project in which something has happened, some of it hostile."""
    monkeypatch.setenv("BOINC_CONTROL_TOKEN", "token-of-the-test")
    world.host.name = EVIL
    for number in range(3):
        world.add_job(f"job {number}".encode())
    (first, *_) = world.rpc(1.0).tasks
    finished = world.compute(first)
    finished.stderr = EVIL
    world.rpc(1.0, [finished])
    return world


def open_page(context: BrowserContext, url: str, shots: Path, name: str) -> str:
    """Load a page in all widths, take pictures, and return its text."""
    problems: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    text = ""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        response = page.goto(url)
        assert response is not None
        assert response.status == 200, f"{url}: {response.status}"
        # Wide tables scroll inside the page; the page itself never does.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{url} is wider than {width}"
        picture = shots / f"{name}-{width}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 2000
        text = page.inner_text("body")
    assert page.locator("link[rel=stylesheet]").count() == 1
    assert page.evaluate("getComputedStyle(document.querySelector('header')).borderBottomStyle") == "solid"
    page.close()
    assert problems == []
    return text


def test_what_a_volunteer_sees(busy: World, browser: Browser, tmp_path: Path) -> None:
    base: str = busy.url
    context = browser.new_context()
    page = context.new_page()
    page.goto(base)
    assert page.locator("h1").inner_text() == "Conformance & Co."
    page.click("text=Log in")
    page.fill("#email_addr", "ann@boinc.test")
    page.fill("#passwd", "wrong")
    page.click("button")
    assert "No account has this" in page.inner_text(".problem")
    page.fill("#email_addr", "ann@boinc.test")
    page.fill("#passwd", "secret")
    page.click("button")
    assert page.url == f"{base}home.php"
    assert busy.host.authenticator in page.inner_text("main")
    names = (
        *("", "server_status.php", "home.php", "hosts_user.php", "show_host_detail.php?hostid=1", "host_edit_form.php?hostid=1"),
        *("results.php", "result.php?resultid=1"),
    )
    for number, name in enumerate(names):
        text = open_page(context, base + name, tmp_path, f"page-{number}")
        if name.startswith(("hosts", "show_host", "result.php")):
            assert EVIL in text
    page.click("text=Log out")
    page.goto(f"{base}home.php")
    assert page.url == f"{base}login_form.php"
    context.close()


def test_joining_without_scripts(busy: World, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(busy.url)
    page.click("text=Join")
    page.fill("#user_name", "Eve")
    page.fill("#email_addr", "eve@boinc.test")
    page.fill("#passwd", "long enough")
    page.click("button")
    assert page.url == f"{busy.url}home.php"
    context.close()


def test_what_the_admin_sees(busy: World, browser: Browser, tmp_path: Path) -> None:
    credentials: Any = {"username": "admin", "password": "token-of-the-test"}
    context = browser.new_context(http_credentials=credentials)
    ops = f"{busy.url.rstrip('/')}_ops/"
    text = open_page(context, ops, tmp_path, "ops")
    assert "Newest events" in text
    for table in ("workunit", "result", "host", "user"):
        text = open_page(context, f"{ops}db_action.php?table={table}", tmp_path, f"ops-{table}")
        assert f"\n{table}\n" in f"\n{text}\n"
    page = context.new_page()
    page.goto(f"{ops}db_action.php?table=result&server_state=5")
    page.click("td.n a")
    assert EVIL in page.inner_text("main")
    context.close()
