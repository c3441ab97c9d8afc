"""What is wrong with an image."""

from __future__ import annotations

from harness.errors import HarnessError


class ImageRefused(HarnessError):
    """An image that no volunteer could or should run. Fields: `image`, `why`, `part` (layer or file of it, may be empty)."""

    exit_code = 65

    def __init__(self, image: str, why: str, *, part: str = "", expected: str = "") -> None:
        self.image = image
        self.why = why
        self.part = part
        super().__init__(f"image refused: {why}", thing=f"{image}, {part}" if part else image, expected=expected)


class SquashRefused(HarnessError):
    """Layers that cannot become one. Fields: `image`, `base`."""

    exit_code = 65

    def __init__(self, image: str, base: str, why: str, *, expected: str = "") -> None:
        self.image = image
        self.base = base
        super().__init__(f"cannot squash: {why}", thing=f"{image} above {base}", expected=expected)
