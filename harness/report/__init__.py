"""The pages that a person reads: report.html of one scenario's evidence, index.html of a run.

facts.py       what a page says about a scenario beside its history
timeline.py    events -> lanes, bars and marks
page.py        report.html: one file, no network
runs.py        index.html: all scenarios of a run, with the durations of earlier ones
github.py      step summary and annotations where GitHub Actions runs it
plugin.py      when pytest writes them
"""

from harness.report.facts import Facts
from harness.report.page import write

__all__ = ["Facts", "write"]
