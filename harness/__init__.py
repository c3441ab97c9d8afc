"""A test harness that stands up a whole BOINC world in containers and drives jobs through it."""

__version__ = "0.1.0"
