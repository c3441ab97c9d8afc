"""Many real clients at once on this machine (`--crowd CLIENTS`): nothing is lost, nothing is done twice, and credit is exact."""

import pytest

from harness import JobState
from harness.stack import Stack
from harness.waiting import Deadline

JOBS_EACH = 20


@pytest.mark.timeout(1200)
def test_a_crowd_does_every_job_once_for_exact_credit(stack: Stack, crowd: int) -> None:
    clients = stack.start_clients(crowd, attach=True)
    texts = [f"job {number}" for number in range(crowd * JOBS_EACH)]
    jobs = stack.project.submit_many("uppercase", [text.encode() for text in texts])
    for client in clients:
        client.update(stack.project)

    deadline = Deadline(30.0 * crowd)
    for job in jobs:
        job.wait_for(JobState.VALIDATED, within=deadline)

    results = stack.project.results()
    assert len(results) == len(jobs)
    assert {result.outcome.name for result in results} == {"SUCCESS"}
    assert [job.output() for job in jobs] == [text.upper().encode() for text in texts]
    granted = [result.granted_credit for result in results]
    assert min(granted) == max(granted) > 0
    held = sum(float(str(user["total_credit"])) for user in stack.project.users())
    assert held == pytest.approx(len(jobs) * granted[0], rel=1e-9)
