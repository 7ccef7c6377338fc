"""Hooks on entities that Kong is not known to have."""

import pytest

from kong_eventhooks_plugin.hooks.lint.entity_names import warnings
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.hook import Hook
from tests.support.events import make_hook

KNOWN = known()


def texts_of(*hooks: Hook) -> list[str]:
    return [str(warning) for warning in warnings(hooks, KNOWN)]


@pytest.mark.parametrize(
    ("event", "meant"),
    [
        ("consumer", " (did you mean consumers?)"),
        ("consumer:delete", " (did you mean consumers?)"),
        ("key_auth_credentials", " (did you mean keyauth_credentials?)"),
        ("zebras", ""),
    ],
)
def test_one_that_kong_is_not_known_to_have(event: str, meant: str) -> None:
    entity = event.partition(":")[0]
    (warning,) = texts_of(make_hook("h", source="crud", event=event))
    assert warning == (
        f"kong.yml: plugins[0].config.hooks[0].event: Kong is not known to have an entity {entity}{meant}; "
        "the hook never fires unless a plugin of yours, or Enterprise, adds it"
    )


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("crud", None),
        ("crud", "consumers"),
        ("crud", "keyauth_credentials:update"),
        ("crud", "acme_storage:create"),  # of a plugin that Kong brings along
        ("crud", "admins"),  # of Kong Enterprise
        ("dao:crud", "create"),
        ("custom", "consumer"),
        ("rate-limiting", "rate-limit-exceeded"),
    ],
)
def test_others_have_no_warning(source: str, event: str | None) -> None:
    assert texts_of(make_hook("h", source=source, event=event)) == []
