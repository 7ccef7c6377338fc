"""Event hooks for Kong Gateway: a plugin server and the durable delivery of what it sees."""

__version__ = "0.1.0"
