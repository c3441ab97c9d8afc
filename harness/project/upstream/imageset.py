"""Which three images stand behind `--server upstream[:IMAGE-SET]`, and whether they are to be had.

The published ones are those of boinc-server-docker's docker-compose.yml: boinc/server_makeproject, boinc/server_mysql and
boinc/server_apache, tagged VERSION[-b2d]-defaultargs. IMAGE-SET names others:
    PREFIX              PREFIX_makeproject, PREFIX_mysql, PREFIX_apache, with the published tag
    PREFIX:TAG          the same with a tag
    NAME,NAME,NAME      three references: makeproject, mysql, apache
"""

from __future__ import annotations

from dataclasses import dataclass

import docker.errors

from harness import engine
from harness.errors import HarnessError, UsageError

PARTS = ("makeproject", "mysql", "apache")
PUBLISHED = "boinc/server"
TAG = "latest-defaultargs"
KIND = "upstream"


class NoImages(HarnessError):
    """The images of an upstream server are neither here nor to be pulled: scenarios are skipped with its `reason`."""

    exit_code = 69

    def __init__(self, missing: list[str], why: str) -> None:
        self.missing = missing
        super().__init__(
            "the upstream server's images are not here and cannot be pulled",
            thing=", ".join(missing),
            expected="boinc-server-docker's three images, here or in a registry" + (f"; the registry: {why}" if why else ""),
            remedy="where there is a registry: docker pull them; else build them and name them: --server upstream:MAKEPROJECT,MYSQL,APACHE",
        )

    @property
    def reason(self) -> str:
        """One line for a skip."""
        return f"{self.what}: {self.thing} ({self.remedy})"


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Three image references."""

    makeproject: str
    mysql: str
    apache: str

    @classmethod
    def parse(cls, text: str) -> ImageSet:
        """From what follows "upstream:"; "" are the published ones. Raises `UsageError`."""
        names = [name.strip() for name in text.split(",")]
        if len(names) == len(PARTS) and all(names):
            return cls(*names)
        if len(names) != 1 or any(character.isspace() for character in text):
            raise UsageError(
                "these are not the images of a server",
                thing=text,
                expected="PREFIX, PREFIX:TAG, or three names separated by commas: makeproject, mysql, apache",
            )
        prefix, tag = names[0] or PUBLISHED, TAG
        if ":" in prefix.rpartition("/")[2]:  # a colon before the last / is a registry's port
            prefix, _, tag = prefix.rpartition(":")
        if not prefix or not tag:
            raise UsageError("these are not the images of a server", thing=text, expected="a name before the colon and a tag behind it")
        return cls(*(f"{prefix}_{part}:{tag}" for part in PARTS))

    @property
    def references(self) -> tuple[str, str, str]:
        return (self.makeproject, self.mysql, self.apache)

    def ensure(self) -> None:
        """See that all three are here; pull what is not. Raises `NoImages`."""
        client = engine.connect()
        missing, why = [], ""
        for reference in self.references:
            try:
                client.images.get(reference)
            except docker.errors.ImageNotFound:
                missing.append(reference)
        for reference in list(missing):
            try:
                client.images.pull(reference)
            except (docker.errors.APIError, docker.errors.ImageNotFound) as error:
                why = str(error.explanation or error).splitlines()[0][:200]
                break  # a registry that has not got one, or is not there, is not asked for the others
            missing.remove(reference)
        if missing:
            raise NoImages(missing, why)


def parse_server(text: str) -> ImageSet | None:
    """The images behind `--server TEXT`; None: the embedded server. Raises `UsageError`."""
    kind, colon, rest = text.partition(":")
    if text == "embedded":
        return None
    if kind == KIND and (rest or not colon):
        return ImageSet.parse(rest)
    raise UsageError(
        "unknown project server",
        thing=text,
        expected="embedded, upstream, or upstream:IMAGE-SET (PREFIX, PREFIX:TAG, or three names separated by commas)",
    )
