"""The project server on MariaDB and on PostgreSQL: its own tests once more, against real database servers in containers.

BOINC_TEST_DATABASES=all runs all of them; by default it is a part that touches every table and every kind of statement.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.models.containers import Container
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from harness import containers, engine, images, labels
from harness.waiting import wait_until
from tests.conformance.test_kill import kill_again_and_again

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
TESTS = ROOT / "images/server/tests"
KILLS = int(os.environ.get("BOINC_TEST_KILLS", "2"))
PART = ["state/test_replication.py", "state/test_deadlines.py", "wire/test_submit.py"]
REFUSED_EARLY = "any_text or any_multipart or bombs or errors or bad_names or big_forms or files_the_server_will_not_read"
"""What never gets as far as the database."""


@dataclass(frozen=True)
class Kind:
    """A database server: its image, its port, and the start of its URLs."""

    image: str
    port: int
    driver: str


KINDS = [Kind("mariadb", 3306, "mysql+pymysql"), Kind("postgresql", 5432, "postgresql+psycopg")]


def answers(container: Container, url: str) -> bool:
    container.reload()
    assert container.status == "running", containers.log_tail(container)
    server = create_engine(url, poolclass=NullPool)
    try:
        with server.connect() as connection:
            return connection.execute(text("SELECT 1")).scalar() == 1
    except OperationalError:
        return False
    finally:
        server.dispose()


@pytest.fixture(params=KINDS, ids=[kind.image for kind in KINDS])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database server whose user may create databases."""
    kind: Kind = request.param
    name = f"database-{kind.image}-{secrets.token_hex(4)}"
    try:
        container: Container = engine.connect().containers.create(
            images.ensure(kind.image),
            name=name,
            labels=labels.owner_labels(role="database"),
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            ports=engine.publish([kind.port]),
            tmpfs={"/data": "size=700m,mode=1777"},
        )
        container.start()
        container.reload()
        host, port = engine.address(container, kind.port)
        address = f"{kind.driver}://boinc:boinc@{host}:{port}"
        wait_until(
            lambda: answers(container, f"{address}/{'postgres' if kind.image == 'postgresql' else 'mysql'}"),
            f"{name} to answer",
            within=60,
            last_state=lambda: containers.log_tail(container, 5),
        )
        yield f"{address}/boinc"
    finally:
        containers.remove_quietly(name)


@pytest.mark.timeout(300 + 10 * KILLS)
def test_nothing_acknowledged_is_lost_on(database_url: str, tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, KILLS, database_url)


@pytest.mark.timeout(1200)
def test_the_servers_tests_pass_on(database_url: str) -> None:
    part = [*(str(TESTS / name) for name in PART), "-k", f"not ({REFUSED_EARLY})"]
    all_of_them = [str(TESTS), f"--ignore={TESTS / 'wire/test_fastsql.py'}"]  # which is SQLite's own short way
    chosen = all_of_them if os.environ.get("BOINC_TEST_DATABASES") == "all" else part
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *chosen],
        cwd=ROOT,
        env=os.environ | {"BOINC_TEST_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
