"""Who gets what: matching, quotas, limits, infeasibility and its messages, targeted jobs."""

from __future__ import annotations

import json

import pytest
from boinc_server import feeder, models, simulate, templates, work
from boinc_server.states import ErrorMask, Outcome, ServerState
from sqlalchemy import insert, update

DAY = 86400


def give_preferences(world, host, text):
    with world.project.transaction() as tx:
        tx.execute(update(models.user).where(models.user.c.id == host.user.id).values(project_prefs=text))


def team_of(world, host, team):
    with world.project.transaction() as tx:
        tx.execute(update(models.user).where(models.user.c.id == host.user.id).values(teamid=team))


def test_high_priority_goes_first_then_the_oldest(world):
    jobs = [world.job(priority=p) for p in (0, 5, 0, 5)]
    host = world.host()
    order = [host.fetch()[0] for _ in jobs]
    assert order == [world.results(jobs[i])[0].name for i in (1, 3, 0, 2)]


def test_a_request_is_filled_up_to_its_seconds(world):
    for _ in range(10):
        world.job(rsc_fpops_est=4e9 * 1000, name=None)
    host = world.host(ncpus=1)
    assert len(host.fetch(2500)) == 3


def test_max_wus_to_send_is_per_cpu(world):
    world.configure(max_wus_to_send=2)
    for _ in range(20):
        world.job()
    assert len(world.host(ncpus=1).fetch(1e6)) == 2
    assert len(world.host(ncpus=4).fetch(1e6)) == 8


def test_no_work_is_explained(world):
    reply = world.host().rpc(1.0)
    assert [message for _, message in reply.messages] == ["Project has no tasks available"]


def test_where_hosts_may_be_targeted_a_project_without_jobs_is_searched_all_the_same(world):
    world.configure(enable_assignment=True)
    reply = world.host().rpc(1.0)
    assert [message for _, message in reply.messages] == ["No tasks sent"]


@pytest.mark.parametrize(
    ("job", "machine", "text"),
    [
        ({"rsc_memory_bound": 32e9}, {}, "work needs 30517.58 MB RAM but only 13732.91 MB is available for use."),
        (
            {"rsc_disk_bound": 1e12},
            {"disk_free": 5e11},
            "work needs 851275.27MB more disk space.  You currently have 102399.05 MB available and it needs 953674.32 MB.",
        ),
        ({"rsc_bandwidth_bound": 2e6}, {}, "work requires 1953.12 KB/sec download bandwidth.  Your computer has been measured at 976.56"),
    ],
)
def test_infeasible_jobs_are_explained(world, job, machine, text):
    world.job(**job)
    reply = world.host(**machine).rpc(1.0)
    assert not reply.tasks
    assert reply.says(text), reply.text


def test_a_host_that_had_room_once_and_has_none_now_gets_nothing(world):
    host = world.host()
    host.rpc(1.0)
    world.job()
    host.client.disk_free = 0
    reply = host.rpc(1.0)
    assert not reply.tasks
    assert reply.says("more disk space"), reply.text


def test_a_slow_host_with_work_cannot_make_the_deadline(world):
    world.job(rsc_fpops_est=4e9 * DAY, delay_bound=DAY)
    host = world.host()
    assert len(host.fetch()) == 1, "an idle host gets a job however slow it is"
    world.job(rsc_fpops_est=4e9 * DAY, delay_bound=DAY)
    host.client.extra = "<estimated_delay>3600</estimated_delay>\n"
    reply = host.rpc(1.0)
    assert not reply.tasks
    assert reply.says("Tasks won't finish in time: BOINC runs 99.0% of the time; computation is enabled 99.0% of that")


def test_one_result_per_user(world):
    world.configure(one_result_per_user_per_wu=True)
    job = world.job(min_quorum=2, target_nresults=2)
    user = world.user()
    one, two, other = world.host(user=user), world.host(user=user), world.host()
    assert len(one.fetch(1e6)) == 1
    assert two.fetch() == []
    assert len(other.fetch()) == 1
    assert [r.userid for r in world.results(job)] == [one.user.id, other.user.id]


def test_one_result_per_host(world):
    world.configure(one_result_per_host_per_wu=True)
    world.job(min_quorum=2, target_nresults=2)
    user = world.user()
    one, two = world.host(user=user), world.host(user=user)
    assert len(one.fetch(1e6)) == 1
    assert one.fetch() == []
    assert len(two.fetch()) == 1


def test_daily_quota_and_its_growth(world):
    world.configure(daily_result_quota=2)
    for _ in range(12):
        world.job(max_error_results=1, max_total_results=9, max_success_results=1)
    host = world.host(ncpus=1)
    # As upstream, there is no quota before the first result of a version was sent to a host.
    names = host.fetch() + host.fetch(1e9)
    assert len(names) == 2
    reply = host.rpc(1.0)
    assert not reply.tasks
    assert reply.says("Daily job limit (2) has been reached")
    assert reply.says("This computer has finished a daily quota of 2 tasks")
    host.fail(names[0])
    assert world.hav(host).max_jobs_per_day == 1
    host.report(names[1])
    # doubled up to the quota by the success, and one more as it is valid
    assert world.hav(host).max_jobs_per_day == 3
    world.advance(DAY)
    assert len(host.fetch(1e9)) == 3


def test_a_quota_of_one_is_not_multiplied_by_the_cpus(world):
    world.configure(daily_result_quota=4)
    for _ in range(40):
        world.job(max_error_results=9, max_total_results=9, max_success_results=1)
    host = world.host(ncpus=4)
    names = host.fetch() + host.fetch(1e9)
    assert len(names) == 16
    for name in names[:4]:
        host.fail(name)
    assert world.hav(host).max_jobs_per_day == 1
    world.advance(DAY)
    assert len(host.fetch(1e9)) == 1


def test_an_abort_by_the_project_costs_no_quota(world):
    world.configure(daily_result_quota=5)
    world.job()
    host = world.host()
    host.fail(host.fetch()[0], exit_status=202)
    assert world.hav(host).max_jobs_per_day == 5


def test_a_timeout_costs_quota_and_trust(world):
    world.configure(daily_result_quota=5)
    world.job(delay_bound=DAY, max_total_results=2)
    host = world.host()
    host.fetch()
    world.advance(DAY + 2)
    assert (world.hav(host).max_jobs_per_day, world.hav(host).consecutive_valid) == (4, 0)


def test_in_progress_limit_per_cpu(world):
    world.configure(max_wus_in_progress=2)
    for _ in range(20):
        world.job()
    host = world.host(ncpus=2)
    assert len(host.fetch(1e9)) == 4
    reply = host.rpc(1e9)
    assert not reply.tasks
    assert reply.says("This computer has reached a limit on tasks in progress")
    host.report(host.client.held[0])
    assert len(host.fetch(1e9)) == 1


def test_in_progress_limits_of_config_aux(world):
    world.app("other")
    limits = """<max_jobs_in_progress>
      <project><total_limit><jobs>3</jobs></total_limit></project>
      <app><app_name>work</app_name><cpu_limit><jobs>1</jobs></cpu_limit></app>
    </max_jobs_in_progress>"""
    world.configure(max_jobs_in_progress=limits)
    for app in ("work", "work", "other", "other", "other"):
        world.job(app)
    names = world.host().fetch(1e9)
    assert len(names) == 3
    assert sum(name.startswith("work") for name in names) == 1


def test_the_users_own_limit(world):
    host = world.host()
    give_preferences(world, host, "<project_specific>\n<max_jobs>1</max_jobs>\n</project_specific>")
    for _ in range(3):
        world.job()
    assert len(host.fetch(1e9)) == 1
    assert host.fetch(1e9) == []


def test_beta_apps_need_the_users_consent(world):
    world.app("beta", beta=1)
    world.job("beta")
    plain, brave = world.host(), world.host()
    give_preferences(world, brave, "<allow_beta_work>1</allow_beta_work>")
    assert plain.fetch() == []
    assert len(brave.fetch()) == 1


def test_apps_the_user_did_not_choose(world):
    other = world.app("other")
    world.job("work")
    strict, lenient = world.host(), world.host()
    give_preferences(world, strict, f"<app_id>{other}</app_id>")
    give_preferences(world, lenient, f"<app_id>{other}</app_id><allow_non_preferred_apps>1</allow_non_preferred_apps>")
    reply = strict.rpc(1.0)
    assert not reply.tasks
    assert [message for _, message in reply.messages] == ["No tasks sent", "No tasks are available for other"]
    world.job("other", rsc_memory_bound=1e15)
    assert not strict.rpc(1.0).says("No tasks are available for other"), "there is one, only not for this host"
    world.job("other")
    assert lenient.fetch()[0].startswith("other")
    assert lenient.fetch()[0].startswith("work")


def test_deprecated_apps_and_versions_are_not_sent(world):
    world.job()
    with world.project.transaction() as tx:
        tx.execute(update(models.app_version).values(deprecated=1))
    world.project.catalog.invalidate()
    assert world.host().fetch() == []


@pytest.mark.parametrize(
    ("columns", "gets"), [({"min_core_version": 80300}, 0), ({"max_core_version": 80000}, 0), ({"min_core_version": 80215}, 1)]
)
def test_client_versions_of_app_versions(world, columns, gets):
    with world.project.transaction() as tx:
        tx.execute(update(models.app_version).values(**columns))
    world.project.catalog.invalidate()
    world.job()
    assert len(world.host().fetch()) == gets


def test_min_version_of_the_app(world):
    with world.project.transaction() as tx:
        tx.execute(update(models.app).values(min_version=101))
    world.project.catalog.invalidate()
    world.job()
    assert world.host().fetch() == []


def test_a_host_of_another_platform_gets_its_own_version(world):
    world.app("both", ["x86_64-pc-linux-gnu", "windows_x86_64"])
    world.job("both")
    reply = world.host(platforms=("windows_x86_64", "windows_intelx86")).rpc(1.0)
    assert "<platform>windows_x86_64</platform>" in reply.text
    world.job("work")
    assert world.hosts[0].fetch() == []


def test_a_32_bit_version_cannot_have_a_big_job(world):
    world.app("small", ["i686-pc-linux-gnu"])
    world.job("small", rsc_memory_bound=4e9)
    host = world.host(platforms=("x86_64-pc-linux-gnu", "i686-pc-linux-gnu"))
    assert host.fetch() == []
    world.job("small", rsc_memory_bound=1e9)
    assert len(host.fetch()) == 1


def test_fine_homogeneous_redundancy(world):
    world.app("same", homogeneous_redundancy=1)
    job = world.job("same", min_quorum=2, target_nresults=2)
    xeon, core, xeon2 = world.host(), world.host(model="Intel(R) Core(TM) i7"), world.host()
    assert len(xeon.fetch()) == 1
    assert world.wu(job).hr_class == 256 + 11
    reply = core.rpc(1.0)
    assert not reply.tasks
    assert reply.says("Tasks are committed to other platforms")
    assert len(xeon2.fetch()) == 1


def test_coarse_homogeneous_redundancy_takes_intel_and_amd_as_one(world):
    world.app("same", homogeneous_redundancy=2)
    world.job("same", min_quorum=2, target_nresults=2)
    assert len(world.host().fetch()) == 1
    assert world.host(os_name="Microsoft Windows 10").fetch() == []
    assert len(world.host(vendor="AuthenticAMD", model="AMD EPYC").fetch()) == 1


def test_a_host_of_unknown_class(world):
    world.app("same", homogeneous_redundancy=1)
    world.job("same")
    reply = world.host(vendor="HAL", model="9000").rpc(1.0)
    assert not reply.tasks
    assert reply.says("Your computer type is not supported by this project")


def test_the_class_is_free_again_after_errors_only(world):
    world.app("same", homogeneous_redundancy=1)
    job = world.job("same", max_error_results=3, max_total_results=5)
    host = world.host()
    host.fail(host.fetch()[0])
    assert world.wu(job).hr_class == 0
    assert len(world.host(model="Intel(R) Core(TM) i7").fetch()) == 1


def test_homogeneous_app_version(world):
    world.app("one", ["x86_64-pc-linux-gnu", "windows_x86_64"], homogeneous_app_version=1)
    job = world.job("one", min_quorum=2, target_nresults=2)
    linux = world.host()
    assert len(linux.fetch()) == 1
    assert world.wu(job).app_version_id == world.results(job)[0].app_version_id != 0
    assert world.host(platforms=("windows_x86_64",)).fetch() == []
    assert len(world.host().fetch()) == 1


def trusted(world, host, valid=1_000_000):
    with world.project.transaction() as tx:
        tx.execute(update(models.host_app_version).where(models.host_app_version.c.host_id == host.id).values(consecutive_valid=valid))


def test_adaptive_replication(world):
    world.app("adaptive", target_nresults=2)
    limits = {"max_total_results": 5, "max_success_results": 5, "max_error_results": 2}
    first = world.job("adaptive", **limits)
    host, other = world.host(), world.host()
    [name] = host.fetch()
    assert (world.wu(first).target_nresults, world.wu(first).min_quorum) == (2, 2)
    assert len(world.results(first)) == 2, "the second replica exists at once"
    host.report(name)
    other.report(other.fetch()[0])
    assert world.wu(first).canonical_resultid
    assert world.hav(host).consecutive_valid == 1
    trusted(world, host)
    second = world.job("adaptive", **limits)
    [name] = host.fetch()
    assert (world.wu(second).target_nresults, world.wu(second).min_quorum) == (1, 1)
    host.report(name)
    assert world.wu(second).canonical_resultid
    assert world.hav(host).consecutive_valid == 1_000_000, "unreplicated results earn no trust"


def test_an_invalid_result_loses_trust(world):
    world.job(min_quorum=1, target_nresults=2)
    one, two = world.host(), world.host()
    [a], [b] = one.fetch(), two.fetch()
    trusted(world, two, 50)
    one.report(a)
    two.report(b, b"wrong")
    assert [row.consecutive_valid for row in world.rows(models.host_app_version)] == [1, 0]


def test_urgent_jobs_need_a_reliable_host(world):
    world.configure(reliable_on_priority=10, reliable_reduced_delay_bound=0.5)
    job = world.job(priority=10, delay_bound=DAY)
    host = world.host()
    assert host.fetch() == []
    host.rpc()
    with world.project.transaction() as tx:
        [version] = world.project.catalog.versions_of(1)
        tx.execute(
            insert(models.host_app_version).values(
                host_id=host.id, app_version_id=version.id, consecutive_valid=20, turnaround_n=20, turnaround_avg=100
            )
        )
    assert len(host.fetch()) == 1
    row = world.results(job)[0]
    assert row.report_deadline - row.sent_time == DAY // 2


def test_retries_can_get_a_higher_priority(world):
    world.configure(reliable_priority_on_over=7)
    job = world.job(max_error_results=2, max_total_results=3)
    host = world.host()
    host.fail(host.fetch()[0])
    assert [r.priority for r in world.results(job)] == [0, 7]


def test_targeted_jobs_for_host_user_and_team(world):
    world.configure(enable_assignment=True)
    host, other = world.host(), world.host()
    host.rpc()
    other.rpc()
    team_of(world, host, 9)
    jobs = [world.job(target_host=host.id), world.job(target_user=host.user.id), world.job(target_team=9)]
    assert all(world.results(job) == [] for job in jobs)
    assert other.fetch() == []
    names = host.fetch(1e6)
    assert len(names) == 3
    for name in names:
        host.report(name)
    assert all(world.wu(job).canonical_resultid for job in jobs)
    assert host.fetch() == []


def test_a_targeted_job_that_fails_is_tried_again_elsewhere_of_its_target(world):
    world.configure(enable_assignment=True)
    user = world.user()
    one, two = world.host(user=user), world.host(user=user)
    job = world.job(target_user=user.id, max_error_results=2, max_total_results=4)
    one.fail(one.fetch()[0])
    assert one.fetch() == [], "at most one result to each host"
    two.report(two.fetch()[0])
    assert world.wu(job).canonical_resultid


def test_broadcast_jobs_go_to_every_host_once(world):
    world.configure(enable_assignment_multi=True)
    job = world.job(broadcast=True)
    assert world.host().fetch() == [], "not while the project has no other jobs, unless hosts may be targeted as well"
    world.configure(enable_assignment=True)
    hosts = [world.host() for _ in range(3)]
    names = [host.fetch()[0] for host in hosts]
    assert len(set(names)) == 3
    assert [host.fetch() for host in hosts] == [[], [], []]
    hosts[0].report(names[0])
    assert world.results(job)[0].outcome == Outcome.SUCCESS
    assert world.wu(job).canonical_resultid == 0


def test_assignments_need_their_option(world):
    host = world.host()
    host.rpc()
    world.job(target_host=host.id)
    world.job(broadcast=True)
    assert host.fetch() == []


def test_non_cpu_intensive_apps_get_one_job_each_besides_the_others(world):
    world.app("sensor", non_cpu_intensive=1)
    for app in ("sensor", "sensor", "work"):
        world.job(app)
    host = world.host()
    names = host.fetch(1.0)
    assert sorted(name.split("_")[0] for name in names) == ["sensor", "work"]
    assert host.fetch(1.0) == []


def test_jobs_whose_files_the_host_has_come_first(world):
    world.app("local", locality_scheduling=1)
    template = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
    for name in ("aaa", "bbb"):
        work.stage_file(world.project, name, name.encode())
        world.job("local", [templates.InputFile(name)], wu_template=template)
    host = world.host()
    host.client.extra = "<file_info>\n    <name>bbb</name>\n    <nbytes>3</nbytes>\n    <status>1</status>\n</file_info>\n"
    assert "<name>bbb</name>" in host.rpc(1.0).text


def test_keywords(world):
    world.configure(keyword_sched=True)
    world.job(name="plain")
    world.job(name="wanted", keywords="3 7")
    world.job(name="unwanted", keywords="5")
    host = world.host()
    host.client.extra = "<user_keywords>\n<yes>7</yes>\n<no>5</no>\n</user_keywords>\n"
    assert [host.fetch(), host.fetch(), host.fetch()] == [["wanted_0"], ["plain_0"], []]


def test_an_anonymous_platform_uses_its_own_version(world):
    job = world.job()
    host = world.host(platforms=("anonymous", "x86_64-pc-linux-gnu"))
    host.app_versions = "<app_version>\n<app_name>work</app_name>\n<version_num>500</version_num>\n<flops>2e9</flops>\n</app_version>\n"
    reply = host.rpc(1.0)
    assert len(reply.tasks) == 1
    assert "<app_version>" not in reply.text
    assert world.results(job)[0].app_version_id == -2
    host.report(reply.tasks[0].name)
    assert world.wu(job).canonical_resultid


def test_buda_variants(world):
    world.app("docker", ["x86_64-pc-linux-gnu"])
    root = world.project.path("buda_apps", "worker")
    for variant, cpu in (("cpu", "intel"), ("arm", "arm")):
        (root / variant).mkdir(parents=True)
        (root / variant / "variant.json").write_text(
            json.dumps(
                {
                    "cpu_type": cpu,
                    "plan_class": "",
                    "file_infos": f"<file_info>\n<name>{variant}_file</name>\n</file_info>\n",
                    "file_refs": "",
                }
            )
        )
    (root / "desc.json").write_text(json.dumps({"name": "worker"}))
    world.job("docker", additional_xml="<buda_app_name>worker</buda_app_name>")
    world.job("docker", additional_xml="<buda_app_name>nothing</buda_app_name>")
    reply = world.host().rpc(1e6)
    assert len(reply.tasks) == 1
    assert "<name>cpu_file</name>" in reply.text
    workunit = reply.text.split("<workunit>")[1]
    assert "<avg_ncpus>1.000000</avg_ncpus>" in workunit


def test_results_taken_by_others_are_not_offered_again(world):
    for _ in range(5):
        world.job()
    hosts = [world.host(f"h{i}") for i in range(5)]
    names = [host.fetch()[0] for host in hosts]
    assert len(set(names)) == 5
    assert world.host("late").fetch() == []


def test_more_jobs_than_slots(world, monkeypatch):
    monkeypatch.setattr(feeder, "SLOTS", 5)
    monkeypatch.setattr(feeder, "LOW", 2)
    with world.project.transaction() as tx:
        for index in range(23):
            work.create_work(tx, "work", (), work.WorkOptions(priority=index % 3), f"job{index}")
    host = world.host()
    order = []
    while names := host.fetch():
        order += names
    assert len(order) == len(set(order)) == 23
    priorities = [int(name[3:-2]) % 3 for name in order]
    assert priorities == sorted(priorities, reverse=True)


def test_one_apps_infeasible_jobs_do_not_hide_anothers(world, monkeypatch):
    monkeypatch.setattr(feeder, "SLOTS", 5)
    for _ in range(10):
        world.job(rsc_memory_bound=1e12, priority=9)
    world.app("other")
    world.job("other")
    assert len(world.host().fetch()) == 1


def test_an_error_in_one_job_does_not_stop_the_others(world):
    good, bad = world.job(max_error_results=2, max_total_results=3), world.job(max_error_results=2, max_total_results=3, name="bad")
    host = world.host(ncpus=8)
    names = host.fetch(1e6)
    # The template goes away, so the retry cannot be made; the other job has its own.
    with world.project.transaction() as tx:
        tx.execute(update(models.workunit).where(models.workunit.c.id == bad).values(result_template_file="templates/gone"))
    host.rpc(finished=[simulate.Finished(name, state=3, exit_status=1) for name in names])
    assert [r.server_state for r in world.results(good)] == [ServerState.OVER, ServerState.UNSENT]
    assert [r.server_state for r in world.results(bad)] == [ServerState.OVER]
    world.project.path("templates", "gone").write_text(world.project.template("templates/work_out"))
    world.advance(120)
    assert [r.server_state for r in world.results(bad)] == [ServerState.OVER, ServerState.UNSENT]
    assert world.wu(bad).error_mask == ErrorMask.NONE
