"""How fast the harness is: `python -m bench` (see docs/bench.md)."""
