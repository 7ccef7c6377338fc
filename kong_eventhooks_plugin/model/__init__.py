"""Frozen values that every part speaks in. They hold data and pure rules; they do no I/O."""
