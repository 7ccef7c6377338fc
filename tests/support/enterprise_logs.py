"""Logs and plugins of Kong Enterprise, WRITTEN FROM ITS PUBLIC DOCUMENTATION: none of this was recorded.

Pages of developer.konghq.com: plugins/rate-limiting-advanced, plugins/ai-rate-limiting-advanced (both "Headers sent to
the client"), plugins/service-protection, plugins/oas-validation, and their configuration references for 3.9 and 3.10.
"""

from typing import Any

from tests.support.events import serialized
from tests.support.recorded_logs import plugin


def documented_advanced_refusal(
    *windows: tuple[str, int], reset: str = "38", retry_after: str = "38"
) -> dict[str, Any]:
    """A 429 of rate-limiting-advanced (or service-protection); a window is ``minute`` or ``30``, with its limit."""
    headers = {"retry-after": retry_after, "ratelimit-reset": reset, "ratelimit-remaining": "0", "ratelimit-limit": "3"}
    for window, limit in windows:
        headers |= {f"x-ratelimit-limit-{window}": str(limit), f"x-ratelimit-remaining-{window}": "0"}
    return serialized(response={"status": 429, "headers": headers})


def documented_ai_refusal(*, hidden: bool = False, **more: str) -> dict[str, Any]:
    """A 429 of ai-rate-limiting-advanced over 1,000 in 30 s at azure; ``hidden`` with ``hide_client_headers``."""
    headers = {
        "x-ai-ratelimit-reset": "1500",
        "x-ai-ratelimit-retry-after": "1500",
        "x-ai-ratelimit-retry-after-30-azure": "1500",
        "x-ai-ratelimit-reset-30-azure": "1500",
    }
    if not hidden:
        headers |= {
            "x-ai-ratelimit-limit-30-azure": "1000",
            "x-ai-ratelimit-remaining-30-azure": "0",
            "x-ai-ratelimit-limit-40-cohere": "2000",
            "x-ai-ratelimit-remaining-40-cohere": "1150",
        }
    more = {name.replace("_", "-"): value for name, value in more.items()}
    return serialized(response={"status": 429, "headers": headers | more})


def documented_ai_plugin(**fields: Any) -> dict[str, Any]:
    """ai-rate-limiting-advanced on the service of ``serialized``."""
    config: dict[str, Any] = {
        "llm_providers": [
            {"name": "azure", "limit": [1000], "window_size": [30]},
            {"name": "cohere", "limit": [2000], "window_size": [40]},
        ],
        "tokens_count_strategy": "total_tokens",
        "error_code": 429,
        "hide_client_headers": False,
        "service": "s-1",
    }
    return plugin("ai-rate-limiting-advanced", **(config | fields))


def documented_windows_plugin(name: str, **fields: Any) -> dict[str, Any]:
    """rate-limiting-advanced or service-protection on the service of ``serialized``: 3 in 30 s."""
    config: dict[str, Any] = {
        "limit": [3],
        "window_size": [30],
        "error_code": 429,
        "hide_client_headers": False,
        "namespace": "example_namespace",
        "service": "s-1",
    }
    return plugin(name, **(config | fields))


def documented_validation_plugin(**fields: Any) -> dict[str, Any]:
    """oas-validation on the service of ``serialized``, as its configuration is by default."""
    config: dict[str, Any] = {
        "api_spec": "openapi: 3.0.0",
        "verbose_response": False,
        "validate_response_body": False,
        "notify_only_request_validation_failure": False,
        "notify_only_response_body_validation_failure": False,
        "service": "s-1",
    }
    return plugin("oas-validation", **(config | fields))


def documented_validation_failure(**changes: Any) -> dict[str, Any]:
    """A request that oas-validation refused."""
    return serialized(**({"response": {"status": 400, "headers": {"content-type": "application/json"}}} | changes))
