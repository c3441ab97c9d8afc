"""What a running application exchanges with its project: trickle messages, and outputs before its end."""

import pytest

from harness import JobState, script_app
from harness.script_app import STATUS, TRICKLE_UP, link, message
from harness.stack import Stack
from harness.versions import ClientVersion

pytestmark = pytest.mark.project(msg_to_host=True)

TALKS = f"""
printf '<variety>progress</variety>\\nhalf way\\n' > trickle_up.xml
{message(TRICKLE_UP, "<have_new_trickle_up/>")}
while [ ! -e trickle_down_1700000000 ]; do sleep 1; done
cat trickle_down_1700000000 > out
"""


def test_trickles_go_up_and_down_while_a_task_runs(stack: Stack, client_version: ClientVersion) -> None:
    script_app.install(stack.project, "talks", TALKS)
    client = stack.client(attach=True)
    job = stack.project.submit("talks")

    up = stack.history.wait("trickle.up", within=30, variety="progress")
    assert up.get("result_name") == job.results()[0].name
    assert "half way" in str(up.get("xml"))
    text = f"<result_name>{up.get('result_name')}</result_name>\n<time>1700000000</time>\nturn left\n"
    stack.project.send_to_host(job.results()[0].host_id, f"<trickle_down>\n{text}</trickle_down>\n")
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert b"turn left" in job.output()
    assert len(stack.project.table("msg_from_host")) == 1, "it was sent once, although the task went on"
    assert not [name for name in client.files("projects") if "trickle_up" in name], "and forgotten when it was acknowledged"


EARLY = f"""
echo first > "{link("part")}"
: > boinc_ufr_part
{message(TRICKLE_UP, "<have_new_upload_file/>")}
while [ ! -e boinc_ufs_part ]; do sleep 1; done
while [ ! -e ../../go ]; do sleep 1; done
echo last > "{link("out")}"
"""


def test_an_output_is_uploaded_while_the_task_runs(stack: Stack, client_version: ClientVersion) -> None:
    script_app.install(stack.project, "early", EARLY, outputs=["part", "out"], copied=False)
    client = stack.client(attach=True)
    job = stack.project.submit("early")

    stack.history.wait("upload.done", within=30)
    [task] = client.tasks()
    assert task.active_task is not None, "it still runs"
    assert stack.project.output(job.results()[0].id, "part") == b"first\n"
    client.exec(["touch", "go"])
    job.wait_for(JobState.VALIDATED)

    assert job.output("out") == b"last\n"
    assert len(stack.history.find("upload.done")) == 2, "each file once"


COUNTS = f"""
before=$(sed -n 's/.*<wu_cpu_time>\\(.*\\)<.wu_cpu_time>.*/\\1/p' init_data.xml)
if [ ! -e started ]; then
    touch started
    {message(STATUS, "<current_cpu_time>0.45</current_cpu_time><checkpoint_cpu_time>0.4</checkpoint_cpu_time>")}
    while :; do sleep 1; done
fi
echo "$before" > out
{message(STATUS, "<current_cpu_time>1.5</current_cpu_time><checkpoint_cpu_time>1.5</checkpoint_cpu_time>")}
"""


def test_cpu_time_is_counted_from_the_checkpoint_when_a_client_starts_again(stack: Stack) -> None:
    script_app.install(stack.project, "counts", COUNTS)
    client = stack.client(attach=True)
    job = stack.project.submit("counts")
    client.wait_task(active_state="EXECUTING")
    client.wait_checkpoint(job)

    client.restart()
    job.wait_for(JobState.VALIDATED)

    assert float(job.output()) == pytest.approx(0.4), "the application was told what it had used until its checkpoint"
    assert job.result.cpu_time == pytest.approx(1.5), "and its sum was reported"
