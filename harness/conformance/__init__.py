"""Two project servers compared by the same scenarios: what is recorded of each, what differs, and the report of it."""
