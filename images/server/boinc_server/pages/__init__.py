"""The web pages of a project: plain HTML that works without scripts (html/user/*.php, html/ops/*.php).

Rendered with Jinja2, everything escaped; no script runs and nothing is loaded from elsewhere, which
the Content-Security-Policy makes sure of.
"""

from __future__ import annotations

from boinc_server.pages.ops import handle_ops
from boinc_server.pages.render import HTML, overview
from boinc_server.pages.routes import handle

__all__ = ["HTML", "handle", "handle_ops", "overview"]
