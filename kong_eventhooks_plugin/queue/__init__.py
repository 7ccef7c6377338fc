"""The durable queue: its contract and its engines."""
