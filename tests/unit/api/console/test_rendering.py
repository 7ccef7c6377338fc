"""What pages are made of."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin.api.console import rendering


def test_a_page_needs_no_descriptor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = rendering._names()
    for kept in (rendering.environment, rendering.static_file, rendering.static_url):
        kept.cache_clear()
    rendering.load()
    monkeypatch.setattr(rendering, "_HERE", tmp_path / "unreadable")
    assert all(rendering.environment().get_template(name) for name in names)
    assert all(rendering.static_file(name) for name in rendering.STATIC)
