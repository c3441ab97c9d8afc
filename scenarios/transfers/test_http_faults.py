"""HTTP that breaks between a client and the server."""

from harness import JobState
from harness.stack import Stack


def test_an_upload_survives_two_server_errors(stack: Stack) -> None:
    fault = stack.faults.http("upload", status=503, times=2)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"hello")

    job.wait_for(JobState.VALIDATED)

    assert job.output() == b"HELLO"
    refused = [event for event in stack.history.find("http.exchange", endpoint="upload") if event.get("status") == 503]
    assert len(refused) == 2
    assert stack.history.in_order("fault.injected", "http.exchange", "upload.done", "job.validated")
    assert client.transfers() == ()
    assert fault.number
