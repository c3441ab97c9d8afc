"""The project's images: what there is, the content key that tags each, and building what is missing.

    tag = images.ensure("client", variant="sid")      # builds it, and what it is FROM, when the engine does not have it
    tag = images.tag("server")                        # the tag alone; nothing is built or asked

An image is `boinc-harness/NAME:[VARIANT-]KEY`. KEY is the first 12 hex digits of a SHA-256 over the files of its folder in images/, the
target and the build arguments, which hold the tags of the images it is FROM: a change anywhere below gives a new tag, an unchanged
image costs one look at the engine's list. Nothing is ever rebuilt under an old tag.

Writing a Dockerfile for images/NAME/ (see images/README.md for a recipe)
    ARG BASE        an image reference: our Debian base of the image's suite. FROM ${BASE}. Never `# syntax=`, never --pull.
    ARG SUITE       bookworm, trixie or sid
    ARG <OTHER>     one for each image in the spec's `uses`, e.g. APPS for COPY --from / FROM ${APPS}
    secrets         how the machine's own settings reach a build without reaching the image; ask for them by RUN --mount=type=secret:
        id=apt          apt sources of the suite, in deb822 format; target=/etc/apt/sources.list.d/debian.sources
        id=ca           the certificate bundle of this machine; default target /run/secrets/ca, where the next two expect it
        id=pip          a pip.conf; target=/etc/pip.conf
        id=npm          an npmrc; target=/root/.npmrc
The bases hold no apt sources of this machine (a base from a registry holds Debian's own), so a RUN that uses apt needs id=apt.
The build context is the folder without `EXCLUDED`, sent as a tar: what is hashed is what is built. http_proxy and its kin are passed on
as build arguments that BuildKit keeps out of the image and out of the cache key.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness import bases, dockerhttp, engine
from harness.errors import HarnessError, ImageBuildFailed, ImageUnknown

PREFIX = "boinc-harness"
ROOT = Path(__file__).resolve().parent.parent
#: names (of files and folders, at any depth) that never belong to an image
EXCLUDED = ("__pycache__", "*.pyc", ".*_cache", ".hypothesis", "*.egg-info", "tests", "README.md", ".dockerignore", "*.orig", "*.swp", "*~")
#: seconds for one image; a guest kernel on a slow machine is the longest
BUILD_WITHIN = 2400.0
_KEY_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Spec:
    """One image: its folder below images/, the Dockerfile's target, the suites it is built on, and the images it takes parts from."""

    name: str
    suites: tuple[str, ...]
    folder: str = ""
    target: str = ""
    uses: Mapping[str, str] = field(default_factory=dict)
    #: parts of the folder that this image has nothing to do with (another target's)
    without: tuple[str, ...] = ()
    #: files of other folders below images/ that the context holds as well: name in the context -> path
    borrows: Mapping[str, str] = field(default_factory=dict)
    #: built by `./run`; the others when something asks for them
    default: bool = True

    @property
    def context(self) -> Path:
        return ROOT / "images" / (self.folder or self.name)

    @property
    def exists(self) -> bool:
        """Whether it can be built from this tree."""
        return self.name == "base" or (self.context / "Dockerfile").is_file()


#: what the container wrapper takes from the VirtualBox wrapper: BOINC's application interface, processes, files
_OF_BOTH_WRAPPERS = {
    f"common/{name}": f"apps/vboxwrapper/src/{name}"
    for name in (
        *("boinc_app.cpp", "boinc_app.h", "errors.h", "job_file.h", "process.cpp", "process.h", "results.cpp", "results.h"),
        *("sha256.cpp", "sha256.h", "slot_files.cpp", "slot_files.h", "util.cpp", "util.h", "xml.cpp", "xml.h"),
    )
}

SPECS: Mapping[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("base", bases.SUITES),
        Spec("guest", ("trixie",)),  # its kernel takes longer than all the others: begun first, it is built beside them
        Spec("apps", ("sid",), without=("vboxwrapper", "container_wrapper")),  # the only suite whose static BOINC libraries hold any code
        Spec("client", bases.SUITES, target="core", without=("vbox", "gui", "podman")),
        Spec("client-vbox", ("sid",), folder="client", target="vbox", without=("gui", "podman")),
        Spec("client-gui", bases.SUITES, folder="client", target="gui", default=False, without=("vbox", "podman")),
        Spec("client-containers", ("sid",), folder="client", target="containers", without=("vbox", "gui")),
        Spec(
            "client-docker",
            ("sid",),
            folder="client_docker",
            uses={"CLIENT": "client"},
            borrows={"hello.c": "client/podman/hello.c"},
            default=False,
        ),
        Spec("server", ("trixie",), uses={"APPS": "apps"}),
        Spec("mail", ("trixie",)),
        Spec("mariadb", ("trixie",), folder="database", target="mariadb", default=False, without=("postgresql-entrypoint",)),
        Spec("postgresql", ("trixie",), folder="database", target="postgresql", default=False, without=("mariadb-entrypoint",)),
        Spec("proxy", ("trixie",)),
        Spec("vboxwrapper", ("bookworm",), folder="apps/vboxwrapper"),
        Spec("container-wrapper", ("bookworm",), folder="apps/container_wrapper", borrows=_OF_BOTH_WRAPPERS),
    )
}


def spec_of(name: str, variant: str = "") -> tuple[Spec, str]:
    """An image's spec and the suite that a variant names. Raises `ImageUnknown`."""
    spec = SPECS.get(name)
    if spec is None:
        raise ImageUnknown("there is no image of that name", thing=name, expected=f"one of {', '.join(SPECS)}")
    if not variant and len(spec.suites) == 1:
        return spec, spec.suites[0]
    if variant not in spec.suites:
        raise ImageUnknown(
            f"the image {name} has no such variant", thing=variant or "(none named)", expected=f"one of {', '.join(spec.suites)}"
        )
    return spec, variant


def tag(name: str, variant: str = "") -> str:
    """The tag an image has with the files as they are now. Raises `ImageUnknown`, or `ImageBuildFailed` for a missing folder."""
    return _tag(*spec_of(name, variant))


@functools.cache
def _tag(spec: Spec, suite: str) -> str:
    if spec.name == "base":
        key = content_key([suite, bases.recipe()], [])
    else:
        words = [spec.name, spec.target, *(f"{arg}={value}" for arg, value in build_args(spec, suite).items())]
        key = content_key(words, context_files(spec))
    variant = f"{suite}-" if len(spec.suites) > 1 else ""
    return f"{PREFIX}/{spec.name}:{variant}{key}"


def build_args(spec: Spec, suite: str) -> dict[str, str]:
    """The build arguments of an image: references of the images below it, and the suite."""
    found = {"BASE": tag("base", suite), "SUITE": suite}
    found.update({argument: tag(name, _suite_of(name, suite)) for argument, name in spec.uses.items()})
    return found


def _suite_of(name: str, suite: str) -> str:
    """The variant of an image that one of `suite` takes parts from: of the same suite, where there are several."""
    return suite if len(SPECS[name].suites) > 1 else ""


def context_files(spec: Spec) -> list[tuple[str, Path]]:
    """The files of an image's build context: (path inside it, path here), sorted. Raises `ImageBuildFailed` without a Dockerfile."""
    if not (spec.context / "Dockerfile").is_file():
        raise ImageBuildFailed("an image has no Dockerfile", thing=f"images/{spec.folder or spec.name}/Dockerfile", expected="that file")
    own = [(name, path) for name, path in _walk(spec.context, "") if name.split("/", maxsplit=1)[0] not in spec.without]
    return sorted([*own, *((inside, ROOT / "images" / path) for inside, path in spec.borrows.items())])


def _walk(folder: Path, inside: str) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in EXCLUDED):
            continue
        name = f"{inside}{path.name}"
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{name}/")
        else:
            yield name, path


def content_key(words: Iterable[str], files: Iterable[tuple[str, Path]]) -> str:
    """The key of an image: over some words, and over the names, executable bits and contents of files."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{len(word)}:{word}\n".encode())
    for name, path in files:
        if path.is_symlink():
            kind, content = "link", str(path.readlink()).encode()
        else:
            kind, content = ("exec" if path.stat().st_mode & stat.S_IXUSR else "file"), path.read_bytes()
        digest.update(f"{kind} {name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_KEY_DIGITS]


def present() -> set[str]:
    """The tags of our images that the engine has. Raises `EngineUnavailable`."""
    host = engine.host()
    if dockerhttp.speaks(host):
        return dockerhttp.image_tags(host, f"{PREFIX}/*")
    with engine.guard("listing images"):
        return {name for image in engine.connect().images.list(name=f"{PREFIX}/*") for name in image.tags}


def ensure(name: str, variant: str = "") -> str:
    """The tag of an image that the engine has, building it and what it is FROM when missing. Raises `HarnessError`."""
    spec, suite = spec_of(name, variant)
    wanted = _tag(spec, suite)
    if wanted not in present():
        _make(spec, suite, wanted)
    return wanted


def _make(spec: Spec, suite: str, wanted: str) -> None:
    from harness import build, locks  # noqa: PLC0415  (only where something is missing)

    if spec.name != "base":
        ensure("base", suite)
        for used in spec.uses.values():
            ensure(used, _suite_of(used, suite))
    with locks.held(wanted, within=BUILD_WITHIN):
        if wanted in present():  # another process was faster
            return
        if spec.name == "base":
            bases.make(suite, wanted)
        else:
            build.build(wanted, context_files(spec), suite=suite, target=spec.target, args=build_args(spec, suite), within=BUILD_WITHIN)


def ensure_all(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """`ensure` for several images, two at a time (building is half waiting); the first error ends it when what runs has ended."""
    wanted = list(wanted)
    tags = {(name, variant): tag(name, variant) for name, variant in wanted}
    have = present()
    missing = [pair for pair in wanted if tags[pair] not in have]
    if missing:
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="image") as pool:
            futures = [pool.submit(ensure, name, variant) for name, variant in missing]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return tags


def current() -> set[str]:
    """The tags that the images of this tree have now."""
    return {tag(spec.name, suite) for spec in SPECS.values() if spec.exists for suite in spec.suites}


def remove_outdated() -> list[str]:
    """Remove our images under tags that this tree no longer has, but for those that a container uses; returns what went."""
    removed = []
    for old in sorted(present() - current()):
        with engine.guard(f"removing {old}"):
            client = engine.connect()
            if not client.containers.list(all=True, filters={"ancestor": old}):
                client.images.remove(old)
                removed.append(old)
    return removed


def default_images() -> list[tuple[str, str]]:
    """(name, variant) of the images that `./run` builds, those that others are FROM first."""
    return [(spec.name, suite) for spec in SPECS.values() if spec.default and spec.exists for suite in spec.suites]


def main(arguments: list[str]) -> int:
    """`python -m harness.images [NAME[:VARIANT] ...]`: build what is missing of these images, or of those that scenarios need."""
    try:
        wanted = [(name, variant) for name, _, variant in (a.partition(":") for a in arguments)] or default_images()
        tags = ensure_all(wanted)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was built so far is kept", file=sys.stderr)
        return 130
    if arguments:
        print("\n".join(tags.values()))
    else:
        from harness import compose  # noqa: PLC0415  (it imports this module)

        compose.write_env()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
