"""The page of `harness up`: where everything in the stack is, what just happened, and buttons for what a person tries first."""

from harness.startpage.site import Site

__all__ = ["Site"]
