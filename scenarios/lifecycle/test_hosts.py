"""Volunteer hosts as machines: who they are to a project, what they may do, how a person gets in."""

from harness.stack import Stack
from harness.versions import ClientVersion


def test_two_hosts_are_two_hosts(stack: Stack, client_version: ClientVersion) -> None:
    stack.start_clients(2, attach=True)

    hosts = stack.project.hosts()

    assert [host["domain_name"] for host in sorted(hosts, key=lambda host: str(host["domain_name"]))] == ["host1", "host2"]
    assert len({host["host_cpid"] for host in hosts}) == 2


def test_a_client_runs_without_any_privilege(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()

    status = dict(line.split(":\t", 1) for line in client.exec("cat /proc/self/status").splitlines() if ":\t" in line)

    assert {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert status["NoNewPrivs"].strip() == "1"
    assert client.exec("id -u").strip() == "1000"
    assert client.exec("printenv USER HOME").split() == ["boinc", "/var/lib/boinc"]


def test_volunteers_reach_the_project_and_nothing_else(stack: Stack) -> None:
    client = stack.client(attach=True)
    control = stack.server.container.attrs["NetworkSettings"]["Networks"][stack.rig.control_network]["IPAddress"]

    def reaches(host: str, port: int) -> bool:
        script = f"exec 3<>/dev/tcp/{host}/{port} && echo connected"
        return "connected" in client.exec(["timeout", "3", "bash", "-c", script], check=False)

    assert reaches("boinc.test", 80)
    assert not reaches("boinc.test", 8081), "the control port is not on the volunteers' network"
    assert not reaches(control, 8081), "nor can they get to the network where it is"
    routes = [line.split() for line in client.exec("cat /proc/net/route").splitlines()[1:]]
    assert all(route[1] != "00000000" for route in routes), "there is no default route: no way out of the machine"


def test_a_person_can_log_in_with_the_runs_key(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(ssh=True)

    with client.ssh() as shell:
        _, output, _ = shell.exec_command("id -un; pgrep -x boinc")
        user, pid = output.read().decode().split()

    assert user == "boinc"
    assert int(pid) > 0


def test_there_is_no_sshd_unless_asked_for(stack: Stack) -> None:
    client = stack.client()
    assert "sshd" not in client.exec("ps ax")
