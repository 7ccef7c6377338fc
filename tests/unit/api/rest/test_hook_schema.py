"""A hook's JSON Schema in the OpenAPI document says what the rules between its fields say."""

from typing import Any

import jsonschema_rs
import pytest

from kong_eventhooks_plugin.api.rest.openapi.components import hook_input
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.schema import PRESETS
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known

VALIDATION = Validation(known())
SCHEMA = jsonschema_rs.validator_for(hook_input(known()))

CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"preset_key": "k"},
    {"preset_key": None},
    {"preset": None, "preset_key": "k"},
    {"preset": "slak"},
    *({"preset": preset, **key} for preset in PRESETS for key in ({}, {"preset_key": "k"}, {"preset_key": None})),
    {"secret": "s", "secret_file": "/run/secrets/s"},
    {"previous_secret": "s"},
)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_what_it_takes_is_what_is_valid(config: dict[str, Any]) -> None:
    hook = {"name": "a", "source": "custom", "handler": "webhook", "config": {"url": "https://a.example/", **config}}
    try:
        VALIDATION.hook(hook)
    except ValidationError:
        valid = False
    else:
        valid = True
    assert SCHEMA.is_valid(hook) is valid


def test_a_handler_that_needs_no_config_has_none_if_it_likes() -> None:
    for config in ({}, {"config": {}}, {"config": None}):
        assert SCHEMA.is_valid({"name": "a", "source": "custom", "handler": "log", **config})
