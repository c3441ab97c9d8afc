"""The upstream server: three containers of boinc-server-docker's images for each project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from harness.capabilities import ALL, UPSTREAM_LACKS, Capability
from harness.project.base import Project
from harness.project.servers import ProjectServer
from harness.project.upstream import setup
from harness.project.upstream.imageset import KIND, ImageSet, NoImages
from harness.project.upstream.project import UpstreamProject
from harness.project.upstream.trio import Trio

if TYPE_CHECKING:
    from harness.rig import Rig
    from harness.stack import Stack

#: How fast clients may run on a server that lives by the wall's clock: the client's patience shrinks with its rate, the server's CGI and
#: daemons stay as they are.
RATE: Final = 10.0


class UpstreamServer(ProjectServer):
    """boinc-server-docker's images."""

    name = KIND
    capabilities = ALL - UPSTREAM_LACKS
    max_rate = RATE

    def __init__(self, rig: Rig, images: ImageSet) -> None:
        self._rig = rig
        self.images = images
        self._samples: Mapping[str, Mapping[str, bytes]] | None = None
        self._projects: list[UpstreamProject] = []
        self._checked: NoImages | bool = False

    def check(self) -> None:
        """See that the images are here, or pull them; the registry is asked once. Raises `NoImages`."""
        if self._checked is False:
            try:
                self.images.ensure()
                self._checked = True
            except NoImages as error:
                self._checked = error
        if isinstance(self._checked, NoImages):
            raise self._checked

    def samples(self) -> Mapping[str, Mapping[str, bytes]]:
        """The files of the sample applications, taken out of their image once."""
        if self._samples is None:
            self._samples = setup.sample_apps()
        return self._samples

    def new_project(self, stack: Stack, name: str, config: Mapping[str, object]) -> Project:
        if stack.projects:
            self.need(Capability.SEVERAL_PROJECTS)
        self.check()
        self._rig.networks()
        for last in self._projects:
            last.trio.leave()  # boinc.test is one project at a time
        project = UpstreamProject(
            Trio(self._rig, self.images, name),
            stack.history,
            server=self.name,
            url_base=self._rig.url_base,
            config=config,
            samples=self.samples,
        )
        self._projects = [project]
        return project

    def healthy(self) -> bool:
        return bool(self._projects) and self._projects[-1].trio.answers()

    def log(self, lines: int) -> str:
        return self._projects[-1].trio.log(lines) if self._projects else ""

    def public_url(self, project: Project) -> str:
        assert isinstance(project, UpstreamProject)
        return project.trio.public_url()

    @property
    def image(self) -> str:
        return ", ".join(self.images.references)
