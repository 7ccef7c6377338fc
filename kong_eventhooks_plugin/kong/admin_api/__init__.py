"""What we know of the Kong node, from its Admin API."""
