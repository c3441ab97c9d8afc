"""Logging in to a host: off unless asked for, and then with the run's key only."""

from __future__ import annotations

import paramiko
import pytest
from docker.models.containers import Container

from harness import engine, ssh
from harness.ssh import KeyPair
from tests.client_image.conftest import Hosts, run

pytestmark = pytest.mark.engine


def listening(container: Container) -> list[int]:
    """The TCP ports that are listened on in the container."""
    lines = run(container, "cat", "/proc/net/tcp").splitlines()[1:]
    return sorted(int(fields[1].split(":")[1], 16) for fields in map(str.split, lines) if fields[3] == "0A")


def test_off_by_default(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container)
    assert listening(container) == [31416]
    assert "ssh_host" not in run(container, "ls", "/etc/ssh")


def test_on_with_a_key(hosts: Hosts, suite: str) -> None:
    key = KeyPair.generate()
    container = hosts.start(suite, BOINC_SSH_AUTHORIZED_KEY=key.public)
    hosts.rpc(container)
    assert listening(container) == [2222, 31416]
    host, port = engine.address(container, 2222)
    with ssh.connect(host, port, key) as client:
        _, output, _ = client.exec_command("id -un; pwd; boinccmd --get_host_info | grep -c 'domain name'")
        assert output.read().decode().split() == ["boinc", "/var/lib/boinc", "1"]
        with client.open_sftp() as files:
            assert "client_state.xml" in files.listdir("/var/lib/boinc")


def test_not_with_another_key_nor_a_password(hosts: Hosts) -> None:
    container = hosts.start("sid", BOINC_SSH_AUTHORIZED_KEY=KeyPair.generate().public)
    hosts.rpc(container)
    host, port = engine.address(container, 2222)
    with paramiko.Transport((host, port)) as transport:
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("boinc", paramiko.RSAKey.generate(2048))
    with paramiko.Transport((host, port)) as transport:
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_password("boinc", "boinc")
