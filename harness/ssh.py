"""Logging in to a client's container with a key that lives as long as the scenario."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import HarnessError
from harness.waiting import Deadline, wait_until

SSH_PORT = 2222
USER = "boinc"


class SshFailed(HarnessError):
    """No login over ssh."""


@dataclass(frozen=True)
class KeyPair:
    """An Ed25519 key made for one run; `public` is a line of authorized_keys."""

    private: paramiko.Ed25519Key = field(repr=False)
    public: str

    @classmethod
    def generate(cls) -> KeyPair:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()).decode(
            "ascii"
        )
        private = paramiko.Ed25519Key.from_private_key(io.StringIO(pem))
        return cls(private, f"{private.get_name()} {private.get_base64()}")


def connect(host: str, port: int, key: KeyPair, *, user: str = USER, within: Deadline | float = 20.0) -> paramiko.SSHClient:
    """Log in, waiting for an sshd that is just starting. Raises `WaitTimeout`, `SshFailed`."""
    last = ""
    deadline = Deadline.of(within)

    def logged_in() -> paramiko.SSHClient | None:
        nonlocal last
        client = paramiko.SSHClient()
        # the container made its host key when it started; its address comes from the engine, not from the network
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        try:
            # one that answers late is not asked anew: an interpreted guest takes seconds for the exchange of keys
            patience = max(5.0, deadline.remaining)
            client.connect(
                host, port, user, pkey=key.private, timeout=patience, banner_timeout=patience, allow_agent=False, look_for_keys=False
            )
        except paramiko.AuthenticationException as error:
            client.close()
            raise SshFailed("login refused", thing=f"{user}@{host}:{port}", expected=f"the run's key to be accepted: {error}") from error
        except (OSError, paramiko.SSHException) as error:
            client.close()
            last = str(error)
            return None
        return client

    return wait_until(logged_in, f"an ssh login at {host}:{port}", within=deadline, every=0.1, last_state=lambda: last)
