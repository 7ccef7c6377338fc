"""The last known state of every entity of Kong's, how changes are found, and the outbox that keeps them."""
