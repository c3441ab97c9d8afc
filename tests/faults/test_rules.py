"""The proxy's rules: what they are for, how often they fire, what they refuse."""

import pytest
from boinc_proxy.rules import BadRule, Rules, Target, altered, target_of

UPLOAD = Target("p", "upload")


@pytest.mark.parametrize(
    ("path", "project", "endpoint"),
    [
        ("/p/", "p", "master"),
        ("/p", "p", "master"),
        ("/p_cgi/cgi", "p", "scheduler"),
        ("/p_cgi/file_upload_handler", "p", "upload"),
        ("/p_cgi/other", "p", "web"),
        ("/p/download/3a/in_1", "p", "download"),
        ("/p/download/x?y=1", "p", "download"),
        ("/p/get_project_config.php", "p", "config"),
        ("/p/lookup_account.php?email_addr=a", "p", "account"),
        ("/p/create_account.php", "p", "account"),
        ("/p/home.php", "p", "web"),
        ("/", "", "master"),
    ],
)
def test_paths_belong_to_projects_and_endpoints(path: str, project: str, endpoint: str) -> None:
    assert target_of(path) == Target(project, endpoint)


def test_a_rule_fires_so_often_after_so_many() -> None:
    rules = Rules()
    rules.add({"project": "p", "endpoint": "upload", "action": "status", "value": 503, "times": 2, "skip": 1})
    fired = [rules.choose(UPLOAD, "10.0.0.2", "/p_cgi/file_upload_handler") is not None for _ in range(5)]
    assert fired == [False, True, True, False, False]


def test_a_rule_is_for_one_project_endpoint_client_and_name() -> None:
    rules = Rules()
    rules.add({"project": "p", "endpoint": "download", "action": "alter", "value": 0, "client": "10.0.0.2", "name": "in_[0-9]+$"})
    download = Target("p", "download")
    assert rules.choose(Target("q", "download"), "10.0.0.2", "/q/download/in_1") is None
    assert rules.choose(UPLOAD, "10.0.0.2", "/p/download/in_1") is None
    assert rules.choose(download, "10.0.0.3", "/p/download/in_1") is None
    assert rules.choose(download, "10.0.0.2", "/p/download/app") is None
    assert rules.choose(download, "10.0.0.2", "/p/download/in_1") is not None


def test_requests_too_short_to_be_cut_do_not_count() -> None:
    rules = Rules()
    rules.add({"project": "p", "action": "cut", "value": 1000, "direction": "request", "times": 1})
    assert rules.choose(UPLOAD, "", "/", 300) is None
    assert rules.choose(UPLOAD, "", "/", 5000) is not None
    assert rules.choose(UPLOAD, "", "/", 5000) is None


def test_the_oldest_rule_wins_and_a_removed_one_is_gone() -> None:
    rules = Rules()
    first = rules.add({"project": "p", "action": "delay", "value": 1})
    second = rules.add({"project": "p", "action": "reset"})
    assert rules.choose(UPLOAD, "", "/") is first
    assert rules.remove(first.id) is first
    assert rules.remove(first.id) is None
    assert rules.choose(UPLOAD, "", "/") is second
    rules.drop_project("p")
    assert rules.choose(UPLOAD, "", "/") is None


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"action": "explode"}, "action"),
        ({"action": "status", "value": "many"}, "value"),
        ({"action": "cut"}, "value"),
        ({"action": "status", "value": 500, "endpoint": "kitchen"}, "endpoint"),
        ({"action": "status", "value": 500, "direction": "request"}, "direction"),
        ({"action": "reset", "colour": "blue"}, "colour"),
    ],
)
def test_nonsense_is_refused_by_name(record: dict[str, object], field: str) -> None:
    with pytest.raises(BadRule, match=field):
        Rules().add({"project": "p", **record})


@pytest.mark.parametrize(("offset", "expected"), [(0, b"`bc"), (2, b"abb"), (-1, b"abb"), (99, b"abb"), (-99, b"`bc")])
def test_one_bit_is_altered(offset: int, expected: bytes) -> None:
    assert altered(b"abc", offset) == expected
    assert altered(b"", offset) == b""
