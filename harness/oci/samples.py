"""Small images to try things with, built here from scenarios/containers/images/Dockerfile; each target of it is one."""

from __future__ import annotations

import functools
from pathlib import Path

from harness import build, images

FOLDER = Path(__file__).resolve().parents[2] / "scenarios" / "containers" / "images"


@functools.cache
def sample(target: str) -> str:
    """The engine's name of a target, built if need be."""
    files = [("Dockerfile", FOLDER / "Dockerfile")]
    tag = f"{images.PREFIX}/test-{target}:{images.content_key([target, images.tag('base', 'sid')], files)}"
    if tag not in images.present():
        build.build(tag, files, suite="sid", target=target, args={"BASE": images.ensure("base", "sid")}, within=300)
    return tag
