"""The source ``certificate``."""
