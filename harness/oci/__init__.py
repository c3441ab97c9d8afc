"""Container images as content-addressed files that BOINC can carry: read, check, squash. Host side only; no engine needed for files."""

from __future__ import annotations

from harness.oci.errors import ImageRefused, SquashRefused
from harness.oci.image import Image, Layer, Store
from harness.oci.layers import Limits
from harness.oci.load import load
from harness.oci.squash import Savings, squash

__all__ = ["Image", "ImageRefused", "Layer", "Limits", "Savings", "SquashRefused", "Store", "load", "squash"]
