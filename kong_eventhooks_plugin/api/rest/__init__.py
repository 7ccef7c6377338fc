"""REST over the use cases: what Kong's Admin API would answer, and a little beyond it."""
