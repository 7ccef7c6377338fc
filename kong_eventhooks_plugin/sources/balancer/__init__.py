"""The source ``balancer``."""
