"""Merging two records of one computer: who may, what cannot be the same computer, and what becomes of tasks and credit."""

from __future__ import annotations

import pytest
from boinc_server import host_merge, models
from boinc_server.database import AnyRow
from boinc_server.project import Project
from sqlalchemy import select

from .conftest import Http, Volunteer, add_job, add_user
from .test_pages import log_in, page

MODEL = "Xeon 3.00GHz [x86 Family 6 Model 23 Stepping 6]"


def host(project: Project, number: int) -> AnyRow:
    with project.transaction() as tx:
        row = tx.one(select(models.host).where(models.host.c.id == number))
    assert row is not None
    return row


def edit(project: Project, number: int, **columns: object) -> None:
    with project.transaction() as tx:
        assert tx.update(models.host, number, **columns) == 1


def merge(project: Project, one: int, other: int) -> int:
    with project.transaction() as tx:
        return host_merge.merge(tx, one, other)


def obstacle(project: Project) -> str:
    with project.transaction() as tx:
        return host_merge.obstacle(tx, host(project, 1), host(project, 2))


@pytest.fixture
def twice(http: Http, ann: Volunteer) -> Project:
    """A project that knows one computer as 1 and, later, as 2."""
    ann.rpc()
    ann.host.hostid, ann.host.seqno, ann.host.cpid = 0, 0, "another"
    ann.host.ip_addr = "10.1.0.99"
    ann.rpc()
    edit(ann.project, 1, create_time=1000, rpc_time=2000)
    edit(ann.project, 2, create_time=3000, rpc_time=4000)
    return ann.project


def test_the_newer_record_takes_over_tasks_and_credit(twice: Project, ann: Volunteer) -> None:
    ann.host.hostid, ann.host.seqno = 1, 50
    add_job(twice)
    assert len(ann.rpc(1.0).tasks) == 1
    edit(twice, 1, total_credit=10.0, expavg_credit=1.0, create_time=1000, rpc_time=2000)
    edit(twice, 2, total_credit=5.0)

    assert merge(twice, 2, 1) == 2, "the newer one stays, whichever is named first"

    assert (host(twice, 2).total_credit, host(twice, 2).userid) == (15.0, 1)
    assert (host(twice, 1).userid, host(twice, 1).rpc_seqno, host(twice, 1).total_credit) == (0, 2, 0.0)
    with twice.transaction() as tx:
        assert [row.hostid for row in tx.all(select(models.result.c.hostid))] == [2]
    assert ann.rpc().values["hostid"] == "2", "the client goes on as the other one"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"os_name": "Microsoft Windows 11"}, "other operating systems"),
        ({"p_ncpus": 77}, "other processors"),
        ({"p_vendor": "x"}, "other processors"),
        ({"p_model": "x"}, "other processors"),
        ({"p_model": MODEL.replace("Stepping 6", "Stepping 7")}, "other processors"),
        ({"p_model": MODEL.replace("3.00GHz", "2.00GHz")}, "other processors"),
        ({"p_model": MODEL.replace("x86", "EM64T")}, "other processors"),
        ({"p_model": MODEL.replace("Xeon", "XEON CPU")}, ""),
        ({"p_model": MODEL.replace("3.00GHz ", "")}, ""),
        ({"p_model": MODEL.replace("x86 ", "")}, ""),
        ({"domain_name": "renamed"}, ""),
    ],
)
def test_what_can_be_the_same_computer(twice: Project, change: dict[str, object], words: str) -> None:
    for number in (1, 2):
        edit(twice, number, p_model=MODEL)
    edit(twice, 2, **change)

    found = obstacle(twice)

    assert words in found if words else found == ""


def test_records_in_use_at_the_same_time_are_two_computers(twice: Project, ann: Volunteer) -> None:
    """A task in progress counts as use, even if there is no credit yet (BOINC's issue 725)."""
    edit(twice, 1, create_time=1000, rpc_time=3500, total_credit=1.0)
    assert obstacle(twice) == "", "one that has had neither task nor credit is no second computer"
    add_job(twice)
    ann.rpc(1.0)
    edit(twice, 2, rpc_time=4000)

    assert "in use at the same time" in obstacle(twice)
    with pytest.raises(host_merge.HostsNotMergedError, match="in use at the same time"):
        merge(twice, 1, 2)
    assert host(twice, 1).userid == 1


@pytest.mark.parametrize("other", [1, 3, 4, 999])
def test_only_two_computers_of_one_user_are_merged(http: Http, twice: Project, other: int) -> None:
    Volunteer(http, twice, add_user(twice, "bob@boinc.test", "Bob").authenticator, cpid="bobs").rpc()
    edit(twice, 3, create_time=5000, rpc_time=6000)

    with pytest.raises(host_merge.HostsNotMergedError, match=r"two computers of one user|with itself"):
        merge(twice, 1, other)


def test_the_page_merges_and_says_what_it_cannot(http: Http, twice: Project) -> None:
    headers = log_in(http)
    assert "merge with another record" in page(http, "/p/show_host_detail.php?hostid=1", headers)
    edit(twice, 2, p_ncpus=77)
    text = page(http, "/p/host_edit_form.php?hostid=1", headers)
    assert "no: other processors" in text
    assert 'value="2"' not in text
    refused = http("POST", "/p/host_edit_form.php?hostid=1", data={"with": "2"}, headers=headers)
    assert refused.status_code == 400
    assert "cannot be merged: other processors" in refused.text
    edit(twice, 2, p_ncpus=host(twice, 1).p_ncpus)
    assert 'value="2"' in page(http, "/p/host_edit_form.php?hostid=1", headers)

    merged = http("POST", "/p/host_edit_form.php?hostid=1", data={"with": "2"}, headers=headers)

    assert (merged.status_code, merged.headers["location"]) == (303, "show_host_detail.php?hostid=2")
    assert host(twice, 1).rpc_seqno == 2


@pytest.mark.parametrize("form", [{}, {"with": ""}, {"with": "x"}, {"with": "999"}, {"with": "1"}, {"with": "-1"}])
def test_a_form_that_names_no_other_computer(http: Http, twice: Project, form: dict[str, str]) -> None:
    response = http("POST", "/p/host_edit_form.php?hostid=1", data=form, headers=log_in(http))

    assert response.status_code == 400
    assert '<p class="problem">' in response.text
    assert host(twice, 1).userid == 1


def test_nobody_merges_anothers_computers(http: Http, twice: Project) -> None:
    add_user(twice, "bob@boinc.test", "Bob")
    bob = log_in(http, "bob@boinc.test")

    assert http.get("/p/host_edit_form.php?hostid=1", headers=bob).status_code == 404
    assert http("POST", "/p/host_edit_form.php?hostid=1", data={"with": "2"}, headers=bob).status_code == 404
    assert http("POST", "/p/host_edit_form.php?hostid=1", data={"with": "2"}).headers["location"] == "login_form.php"
    assert host(twice, 1).userid == 1
