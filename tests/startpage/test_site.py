"""The start page's web server: who may see it, who may press its buttons, what they do, and what is text stays text."""

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from harness import up
from harness.errors import HarnessError, PortTaken, UsageError
from harness.startpage import Site
from harness.startpage.site import MOST_EVENTS, MOST_FORM
from harness.versions import ClientVersion
from harness.waiting import wait_until
from tests.startpage.fake import PNG, FakeManager, FakeStack, FakeVm, site_of

XSS = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
def world() -> FakeStack:
    return FakeStack()


@pytest.fixture
def site(world: FakeStack) -> Iterator[Site]:
    site = site_of(world)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, trust_env=False, follow_redirects=True) as client:
        yield client


def press(browser: httpx.Client, site: Site, action: str, client: str = "", **more: str) -> httpx.Response:
    return browser.post("/do", data={"token": site.token, "action": action, "client": client, **more})


def said(page: httpx.Response) -> str:
    found = re.search(r'<p role="status" class="said">(.*?)</p>', page.text, re.DOTALL)
    return found[1] if found else ""


def raw(site: Site, request: bytes) -> bytes:
    """Bytes to the server as they are, and the first of its answer."""
    parts = urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def test_the_end_of_the_page_is_the_end_of_kept_connections(world: FakeStack) -> None:
    site = site_of(world)
    site.start()
    parts = urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as kept:
        kept.sendall(f"GET /events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        site.stop()
        while rest := kept.recv(65536):
            assert not rest.startswith(b"HTTP/"), "one request, one answer"


# --- buttons


@pytest.mark.parametrize(
    ("action", "client", "did"),
    [
        ("submit", "", "submit uppercase"),
        ("submit-long", "", "submit sleeper"),
        ("submit-vm", "", "submit vm"),
        ("skip-day", "", "skip 86400"),
        ("heal", "", "heal"),
        ("update", "host1", "update host1"),
        ("break-network", "host2", "partition host2"),
        ("kill", "host1", "kill host1"),
        ("start", "host2", "start host2"),
        ("open-manager", "host1", "manager host1"),
    ],
)
def test_each_button_does_what_it_says(browser: httpx.Client, site: Site, world: FakeStack, action: str, client: str, did: str) -> None:
    page = press(browser, site, action, client)
    assert page.status_code == 200
    assert world.did == [did]
    assert said(page)


def test_every_button_of_the_page_is_known(browser: httpx.Client, site: Site, world: FakeStack) -> None:
    world.clients[1].is_running = False
    offered = set(re.findall(r'<button name="action" value="([^"]+)"', browser.get("/").text))
    assert offered == {*site.actions.world, *site.actions.client}


def test_a_reload_presses_nothing_again(site: Site, world: FakeStack) -> None:
    with httpx.Client(base_url=site.url, trust_env=False) as browser:
        answer = press(browser, site, "submit")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        assert "submitted uppercase_1" in said(browser.get("/"))
        browser.get("/")
    assert world.did == ["submit uppercase"]


def test_a_stack_in_real_time_cannot_skip(browser: httpx.Client, world: FakeStack) -> None:
    world.clock.is_real = True
    assert "skip-day" not in browser.get("/").text


def test_a_client_that_does_not_run_can_be_started(browser: httpx.Client, world: FakeStack) -> None:
    world.clients = world.clients[:1]
    world.clients[0].is_running = False
    page = browser.get("/").text
    assert "not running" in page
    assert "Start again" in page
    for gone in ("Kill", "Break network", "Open Manager", "secret"):
        assert gone not in page


def test_a_client_that_has_just_vanished_does_not_take_the_page_along(browser: httpx.Client, world: FakeStack) -> None:
    world.clients[0].vanished = True
    page = browser.get("/")
    assert page.status_code == 200
    assert "cannot be reached" in page.text


@pytest.mark.parametrize(
    ("action", "client", "words"),
    [
        ("format-disk", "", "no such button"),
        ("", "", "no such button"),
        ("kill", "host9", "no such client"),
        ("kill", "", "no such client"),
        ("x" * 2000, "", "no such button"),
    ],
)
def test_what_is_no_button_is_told_so(browser: httpx.Client, site: Site, world: FakeStack, action: str, client: str, words: str) -> None:
    page = press(browser, site, action, client)
    assert words in said(page)
    assert len(said(page)) < 400
    assert world.did == []


def test_a_failure_is_shown_with_what_to_do(browser: httpx.Client, site: Site, world: FakeStack) -> None:
    world.project.trouble = HarnessError("the server does not answer", thing="world", remedy="start it")
    assert "the server does not answer: world" in said(press(browser, site, "submit"))
    world.project.trouble = None
    assert "submitted" in said(press(browser, site, "submit"))


# --- who may


@pytest.mark.parametrize("token", ["", "guess", "é" * 10])
def test_a_button_needs_the_pages_token(browser: httpx.Client, world: FakeStack, token: str) -> None:
    answer = browser.post("/do", data={"token": token, "action": "kill", "client": "host1"})
    assert answer.status_code == 403
    assert "from the page itself" in answer.text
    assert world.did == []


def test_the_token_is_another_one_each_time(site: Site) -> None:
    other = site_of(FakeStack())
    other._server.server_close()
    assert site.token != other.token
    assert len(site.token) >= 20


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test:8000", "", "localhost.evil.test:1"])
@pytest.mark.parametrize("path", ["/", "/events", "/timeline", "/timeline/since", "/history.jsonl", "/screen", "/screen.png", "/scenario"])
def test_a_page_elsewhere_that_was_pointed_here_sees_nothing(browser: httpx.Client, site: Site, host: str, path: str) -> None:
    answer = browser.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert site.token not in answer.text
    assert browser.post("/do", data={"token": site.token, "action": "submit"}, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_hosts_names(browser: httpx.Client, site: Site, host: str) -> None:
    port = urlsplit(site.url).port
    assert browser.get("/", headers={"Host": f"{host}:{port}"}).status_code == 200


def test_it_listens_on_loopback_only(site: Site) -> None:
    assert site._server.server_address[0] == "127.0.0.1"


# --- bad input


@pytest.mark.parametrize("length", ["", "-1", "x", "²", str(MOST_FORM + 1), "9" * 5000])
def test_a_form_of_a_wrong_length(site: Site, world: FakeStack, length: str) -> None:
    head = f"POST /do HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: {length}\r\n\r\n"
    assert b" 413 " in raw(site, head.encode("latin-1")).split(b"\r\n")[0]
    assert world.did == []


def test_a_form_without_a_length(site: Site) -> None:
    assert b" 413 " in raw(site, b"POST /do HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n").split(b"\r\n")[0]


def test_a_form_of_other_bytes(browser: httpx.Client, world: FakeStack) -> None:
    assert browser.post("/do", content=b"\xff\xfe=%00&&&;token").status_code == 403
    assert world.did == []


@pytest.mark.parametrize("since", ["", "-1", "x", "²", "9" * 17, "9" * 5000])
def test_events_since_anything(browser: httpx.Client, world: FakeStack, since: str) -> None:
    world.events(3)
    assert browser.get("/events", params={"since": since}).status_code == 200


def test_paths_that_are_none(browser: httpx.Client, site: Site) -> None:
    assert browser.get("/../../etc/passwd").status_code == 404
    assert browser.get("/nothing").status_code == 404
    assert browser.post("/", data={"token": site.token, "action": "submit"}).status_code == 404
    assert browser.delete("/").status_code == 501


def test_a_taken_port_is_told_in_words(site: Site, world: FakeStack) -> None:
    port = urlsplit(site.url).port
    with pytest.raises(PortTaken, match="another with --port") as caught:
        site_of(world, port=port or 0)
    assert str(port) in str(caught.value)


# --- what is text stays text


def test_names_and_messages_are_text(browser: httpx.Client, site: Site, world: FakeStack) -> None:
    world.clients[0].name = XSS
    world.clients[0].boinc_version = XSS
    world.project.name = XSS
    world.project.trouble = HarnessError(XSS, thing=XSS)
    world.clients[1].manager = FakeManager(url=XSS)
    for page in (press(browser, site, XSS, XSS), press(browser, site, "submit"), browser.get("/", params={"said": XSS})):
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
    assert "words-of-a-link" not in browser.get("/?said=words-of-a-link").text


def test_the_page_runs_nothing_from_elsewhere(browser: httpx.Client) -> None:
    page = browser.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r'(src|@import|url\()\s*=?\s*"?https?:', page.text)


def test_events_are_json_with_an_end(browser: httpx.Client, world: FakeStack) -> None:
    world.events(MOST_EVENTS + 5)
    world.history.add("client.message", "host1", text=XSS + "x" * 9000)
    answer = browser.get("/events")
    assert answer.headers["content-type"].startswith("application/json")
    first = answer.json()
    assert len(first["events"]) == first["next"] == MOST_EVENTS
    rest = browser.get("/events", params={"since": first["next"]}).json()
    assert [len(rest["events"]), rest["next"]] == [6, MOST_EVENTS + 6]
    assert len(rest["events"][-1]["text"]) <= 400
    assert browser.get("/events", params={"since": rest["next"]}).json()["events"] == []


def test_what_happened_as_a_timeline_and_as_a_scenario(browser: httpx.Client, world: FakeStack) -> None:
    world.events(3)
    assert "Running" in browser.get("/timeline").text
    assert len(browser.get("/history.jsonl").text.splitlines()) == 3
    answer = browser.get("/scenario")
    assert answer.status_code == 200
    assert "recorded.scenario.yaml" in answer.headers["content-disposition"]
    assert "scenario:" in answer.text


def test_the_timeline_is_given_what_is_new(browser: httpx.Client, world: FakeStack) -> None:
    world.events(5)
    assert [event[0] for event in browser.get("/timeline/since", params={"since": 3}).json()["events"]] == [4, 5]
    assert browser.get("/timeline/since", params={"since": 5}).json() == {"events": []}
    world.history.add("task.state", "host1", client="host1", result="wu_1_0", state="NEW")
    more = browser.get("/timeline/since", params={"since": 5}).json()
    assert [event[0] for event in more["events"]] == [6]
    assert "task:wu_1_0" in [lane["key"] for lane in more["lanes"]]
    assert more["kinds"] == ["client.message", "task.state"]


def test_the_screen_of_a_virtual_machine(browser: httpx.Client, site: Site, world: FakeStack) -> None:
    assert "Screen of its VM" not in browser.get("/").text
    host = world.clients[0]
    host.has_virtualbox = True
    assert "/screen?client=host1" in browser.get("/").text
    assert "host1" in browser.get("/screen", params={"client": "host1"}).text
    assert browser.get("/screen.png", params={"client": "host1"}).status_code == 204
    host.virtualbox.vms.append(FakeVm(state="poweroff"))
    host.virtualbox.vms.append(FakeVm("boinc_4567"))
    for _ in range(5):  # many who look at once make one picture
        answer = browser.get("/screen.png", params={"client": "host1"})
        assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert [vm.pictures for vm in host.virtualbox.vms] == [0, 1]
    host.is_running = False
    wait_until(lambda: browser.get("/screen.png", params={"client": "host1"}).status_code == 204, "no screen", within=10)


@pytest.mark.parametrize("path", ["/screen", "/screen.png"])
def test_the_screen_of_a_host_without_virtual_machines(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path, params={"client": "host2"})
    assert answer.status_code == 404
    assert "no such host with VirtualBox: host2" in answer.text
    assert "harness up --vm 1" in answer.text


def test_a_taken_port_is_told_before_anything_starts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "Rig", lambda **_: pytest.fail("something was started"))
    port = int(site.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(PortTaken, match="choose another with --port"):
        up.bring_up(clients=1, version=ClientVersion.V8_2, detach=False, port=port, say=print)


def test_virtual_machines_need_the_newest_client() -> None:
    with pytest.raises(UsageError, match="the newest client only"):
        up.bring_up(clients=1, vms=1, version=ClientVersion.V8_0, detach=False, port=0, say=print)
