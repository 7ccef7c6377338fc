"""Use cases, and thin doors on them."""
