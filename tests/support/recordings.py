"""The recordings of a real Kong, for tests."""

from pathlib import Path

from kong_eventhooks_plugin.cli.demo.recording import RecordedCall, load

CAPTURES = Path(__file__).resolve().parents[1] / "captures"
NAMES = ("proxy-traffic", "admin-crud", "dbless-config-reload")


def recording(name: str) -> list[RecordedCall]:
    """Return a recording's calls; that of proxy traffic is the package's own copy."""
    return load(None if name == "proxy-traffic" else CAPTURES / f"{name}.jsonl")


def every_call() -> list[RecordedCall]:
    """Return the calls of all recordings."""
    return [call for name in NAMES for call in recording(name)]
