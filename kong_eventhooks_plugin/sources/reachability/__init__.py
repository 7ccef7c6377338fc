"""The source ``gateway``."""
