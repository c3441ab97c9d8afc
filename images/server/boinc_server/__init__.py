"""A BOINC project server in one process: real protocols, many projects, virtual time."""

__version__ = "0.1.0"
