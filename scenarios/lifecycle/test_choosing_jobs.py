"""Which host gets which job: by the project's rules, the host's abilities and the volunteer's wishes."""

from typing import Any

import pytest

from harness import ClientVersion, Job, JobState, ServerState, script_app
from harness.client import Client
from harness.faults.vbox import FakeCpu
from harness.stack import Stack
from harness.waiting import wait_until

PAIR: dict[str, Any] = {"min_quorum": 2, "target_nresults": 2, "max_success_results": 4, "max_total_results": 6, "max_error_results": 3}


def unsent(job: Job) -> int:
    return sum(result.server_state is ServerState.UNSENT for result in job.results())


@pytest.mark.project(one_result_per_user_per_wu=1)
def test_one_result_for_each_user_needs_another_volunteer(stack: Stack) -> None:
    stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"apart", **PAIR)
    job.wait_for(JobState.REPORTED)
    stack.client(attach=True).wait_message("No tasks sent")
    assert unsent(job) == 1, "the same volunteer's second host does not get it"

    stack.client().attach(stack.project, stack.project.create_account(stack.project.address("other"), "another one"))
    job.wait_for(JobState.VALIDATED)

    assert len({result.record["userid"] for result in job.results()}) == 2


@pytest.mark.project(one_result_per_host_per_wu=1)
def test_one_result_for_each_host_needs_another_host(stack: Stack) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"apart", **PAIR)
    job.wait_for(JobState.REPORTED)
    asked = len(stack.history.find("rpc.scheduler", wants_work=True))
    client.update(stack.project)
    stack.history.wait_for(lambda event: len(stack.history.find("rpc.scheduler", wants_work=True)) > asked, "another RPC", within=20)
    assert unsent(job) == 1

    stack.client(attach=True)
    job.wait_for(JobState.VALIDATED)

    assert len({result.host_id for result in job.results()}) == 2
    assert len({result.record["userid"] for result in job.results()}) == 1


@pytest.mark.project(homogeneous_redundancy=1, one_result_per_host_per_wu=1)
def test_homogeneous_redundancy_keeps_a_job_to_one_kind_of_cpu(stack: Stack) -> None:
    job = stack.project.submit("uppercase", input=b"alike", **PAIR)
    stack.client(cpu=FakeCpu(vendor="GenuineIntel"), attach=True)
    job.wait_for(JobState.REPORTED)

    stack.client(cpu=FakeCpu(vendor="AuthenticAMD"), attach=True).wait_message("Tasks are committed to other platforms")
    assert unsent(job) == 1
    stack.client(cpu=FakeCpu(vendor="GenuineIntel"), attach=True)
    job.wait_for(JobState.VALIDATED)

    vendors = {host["id"]: host["p_vendor"] for host in stack.project.hosts()}
    assert {vendors[result.host_id] for result in job.results()} == {"GenuineIntel"}


def by_client_version(stack: Stack, **columns: Any) -> None:
    """An application with a version for old clients and another one for new ones."""
    stack.project.put_file("plan_class_spec.xml", SPECIFICATION)
    for plan_class in ("old", "new"):
        script_app.install(stack.project, "which", f'echo {plan_class} "$@" > out', plan_class=plan_class, **columns)


SPECIFICATION = b"""<plan_classes>
<plan_class><name>old</name><max_core_client_version>79999</max_core_client_version></plan_class>
<plan_class><name>new</name><min_core_client_version>80000</min_core_client_version></plan_class>
<plan_class><name>threads</name><min_ncpus>2</min_ncpus><max_threads>2</max_threads><nthreads_cmdline>1</nthreads_cmdline></plan_class>
</plan_classes>
"""


def test_plan_classes_choose_the_version_for_a_host(stack: Stack, client_version: ClientVersion) -> None:
    by_client_version(stack)
    stack.client(attach=True)
    job = stack.project.submit("which", command_line="for me")

    job.wait_for(JobState.VALIDATED)

    assert job.output() == (b"old for me\n" if client_version is ClientVersion.of("7.20") else b"new for me\n")


def test_a_plan_class_for_several_threads_tells_the_application_how_many(stack: Stack) -> None:
    stack.project.put_file("plan_class_spec.xml", SPECIFICATION)
    script_app.install(stack.project, "parallel", 'echo "$@" > out', plan_class="threads")
    job = stack.project.submit("parallel")
    stack.client(cc_options={"ncpus": 1}, attach=True).wait_message("No tasks sent")
    assert unsent(job) == 1, "one processor is not enough"

    stack.client(cc_options={"ncpus": 4}, attach=True)
    job.wait_for(JobState.VALIDATED)

    assert job.output() == b"--nthreads 2\n"


@pytest.mark.project(one_result_per_host_per_wu=1)
def test_homogeneous_app_version_keeps_a_job_to_one_version(stack: Stack) -> None:
    by_client_version(stack, homogeneous_app_version=1)
    job = stack.project.submit("which", **PAIR)
    stack.client(version="8.2", attach=True)
    job.wait_for(JobState.REPORTED)

    stack.client(version="7.20", attach=True).wait_message("No tasks sent")
    assert unsent(job) == 1
    stack.client(version="8.0", attach=True)
    job.wait_for(JobState.VALIDATED)

    assert len({result.record["app_version_id"] for result in job.results()}) == 1


@pytest.mark.parametrize(("column", "limit", "refused"), [("min_core_version", 80000, "7.20"), ("max_core_version", 80000, "8.2")])
def test_an_app_version_may_want_newer_or_older_clients(stack: Stack, column: str, limit: int, refused: str) -> None:
    script_app.install(stack.project, "picky", "echo done > out")
    [version] = stack.project.table("app_version")
    stack.project.edit("app_version", int(str(version["id"])), **{column: limit})
    job = stack.project.submit("picky")

    stack.client(version=refused, attach=True).wait_message("No tasks sent")
    assert unsent(job) == 1
    stack.client(version="8.2" if refused == "7.20" else "7.20", attach=True)
    job.wait_for(JobState.VALIDATED)


def test_an_application_for_another_system_is_not_sent(stack: Stack) -> None:
    script_app.install(stack.project, "foreign", "echo never > out", platform="windows_x86_64")
    job = stack.project.submit("foreign")
    client = stack.client(attach=True)
    client.wait_message("No tasks sent")
    assert unsent(job) == 1

    script_app.install(stack.project, "foreign", "echo at home > out")
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)
    assert job.output() == b"at home\n"


def want(stack: Stack, wishes: str) -> None:
    """Project preferences of the first volunteer."""
    stack.project.edit("user", stack.project.account().id, project_prefs=f"<project_preferences>\n{wishes}\n</project_preferences>\n")


def test_a_beta_application_waits_for_the_volunteers_consent(stack: Stack) -> None:
    stack.project.install_app("uppercase")
    stack.project.edit("app", "uppercase", beta=1)
    job = stack.project.submit("uppercase", input=b"beta")
    client = stack.client(attach=True)
    client.wait_message("No tasks sent")
    assert unsent(job) == 1

    want(stack, "<allow_beta_work>1</allow_beta_work>")
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)


def test_an_application_that_the_volunteer_did_not_choose_is_not_sent(stack: Stack) -> None:
    unwanted = stack.project.submit("uppercase", input=b"no")
    wanted = stack.project.submit("concat", input=[b"y", b"es"])
    [chosen] = stack.project.table("app", name="concat")
    want(stack, f"<app_id>{chosen['id']}</app_id>")

    client = stack.client(attach=True)
    wanted.wait_for(JobState.VALIDATED)
    client.wait_message(f"No tasks are available for {chosen['user_friendly_name']}")

    assert unsent(unwanted) == 1


@pytest.mark.project(enable_assignment=True)
@pytest.mark.parametrize("target", ["target_host", "target_user"])
def test_a_targeted_job_goes_to_its_target_only(stack: Stack, target: str) -> None:
    other = stack.client(attach=True)
    account = stack.project.create_account(stack.project.address("chosen"), "chosen one")
    chosen = stack.client()
    chosen.attach(stack.project, account)
    [host] = [host for host in stack.project.hosts() if host["userid"] == account.id]

    chosen_one: dict[str, Any] = {target: host["id"] if target == "target_host" else account.id}
    job = stack.project.submit("uppercase", input=b"for you", **chosen_one)
    for client in (other, chosen):
        client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert [result.host_id for result in job.results()] == [host["id"]]


# enable_assignment: without it the scheduler sends no broadcast jobs while there are no others
@pytest.mark.project(enable_assignment=True, enable_assignment_multi=True)
def test_a_broadcast_job_goes_to_every_host_once(stack: Stack) -> None:
    clients: list[Client] = stack.start_clients(2, attach=True)

    job = stack.project.submit("uppercase", input=b"for all", broadcast=True)
    for client in clients:
        client.update(stack.project)
    job.wait_for(JobState.REPORTED, count=2)

    assert {result.host_id for result in job.results()} == {host["id"] for host in stack.project.hosts()}


@pytest.mark.project(max_wus_to_send=1)
def test_a_host_that_has_a_jobs_file_gets_the_job_first(stack: Stack) -> None:
    script_app.install(stack.project, "local", "cat in > out", inputs=["in"], input_info="<sticky/>", locality_scheduling=1)
    client = stack.client(attach=True, cc_options={"ncpus": 1})
    stack.project.submit("local", input=b"known").wait_for(JobState.ASSIMILATED)

    client.rpc().project_nomorework(stack.project.master_url)  # it asks again when there is a choice
    wait_until(lambda: not client.projects()[0].scheduler_rpc_in_progress, "the end of an RPC under way", within=10)
    older, local = stack.project.submit_many("local", [b"unknown", b"known"])
    for job in (older, local):
        job.history.wait("result.created", within=10)
    later = stack.clock.now() + 30
    wait_until(lambda: stack.clock.now() > later, "a while, in which a feeder that looks once a second has seen both", within=20)
    client.rpc().project_allowmorework(stack.project.master_url)
    client.update(stack.project)
    for job in (older, local):
        job.wait_for(JobState.VALIDATED)

    assert [event.get("workunit") for event in stack.history.find("result.sent")[1:]] == [local.id, older.id]
