"""Use cases, and thin servers on them."""
