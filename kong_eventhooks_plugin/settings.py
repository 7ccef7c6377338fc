"""Every setting, with its description; from a flag, the environment, a file, or its default, in that order.

A server that Kong starts has an all but empty environment, so each setting is also a flag and a key of
a TOML file (``--settings FILE``). ``socket_path`` is ``--socket-path``, ``KONG_EVENTHOOKS_SOCKET_PATH``
and ``socket_path = "..."``. A list is a TOML array or, in a flag or variable, separated by commas.

docs/settings.md is made from this file (``python -m kong_eventhooks_plugin.settings``); a test compares.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kong_eventhooks_plugin.errors import SettingsError

ENVIRONMENT_PREFIX = "KONG_EVENTHOOKS_"

Seconds = Annotated[float, Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sidecar can be told. Field order is the order of the documentation."""

    socket_path: Annotated[
        str,
        Meta(
            description="Path of the unix socket that Kong connects to; `pluginserver_event_hooks_socket` in kong.conf."
        ),
    ] = "/run/kong-event-hooks/plugin.sock"
    socket_group: Annotated[
        str | None,
        Meta(description="Group that may use the socket (mode 0660): the one Kong's workers run in. Unset: our own."),
    ] = None
    protocol: Annotated[
        Literal["protobuf", "msgpack"],
        Meta(
            description="Kong's plugin protocol: `protobuf` (ProtoBuf:1, fast) or `msgpack` (MsgPack:1, by kong-pdk)."
        ),
    ] = "protobuf"
    started_by_kong: Annotated[
        bool,
        Meta(
            description="Kong runs us by `start_cmd`: take the socket over from the server before a reload, and leave "
            "when that Kong has gone."
        ),
    ] = False
    data_dir: Annotated[
        str,
        Meta(
            description="Directory of the durable queue, `events.db`, and of what is known of Kong, `gateway.db`; made "
            "with mode 0700 where it alone is missing. Nobody else should be able to write there."
        ),
    ] = "/var/lib/kong-event-hooks"
    kong_yml: Annotated[
        tuple[str, ...],
        Meta(description="Declarative files to read hooks from and to watch: what a DB-less Kong is started with."),
    ] = ()
    admin_url: Annotated[
        Annotated[str, Meta(pattern="^https?://", examples=["http://127.0.0.1:8001"])] | None,
        Meta(
            description="Kong's Admin API (`http://127.0.0.1:8001`): hooks are read from it before the first request; "
            "`crud`, `dao:crud`, `balancer`, `certificate`, `gateway`, `service-protection` and `oas-validation` need "
            "it, and other refusals are told apart by the plugins that it lists. Unset: not asked."
        ),
    ] = None
    admin_token_file: Annotated[
        str | None, Meta(description="File with the token that the Admin API wants as `Kong-Admin-Token`.")
    ] = None
    admin_poll_seconds: Annotated[
        Seconds,
        Meta(
            description="Seconds between two readings of the Admin API's plugins, for their hooks and for telling "
            "whose a refusal is."
        ),
    ] = 10.0
    admin_page_size: Annotated[
        int, Meta(ge=1, le=1000, description="Entities a page that the Admin API is asked for; it proxies meanwhile.")
    ] = 100
    admin_pause_factor: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Pause after each page, as a multiple of the time that the page took: with 2, Kong "
            "is busy with us for a third of the time at most.",
        ),
    ] = 2.0
    crud_reconcile_seconds: Annotated[
        Seconds,
        Meta(description="Seconds between two rounds, which find changes that took another way than the route."),
    ] = 60.0
    crud_grace_seconds: Annotated[
        Seconds, Meta(description="Seconds that a round waits for the route to tell a change, with who made it.")
    ] = 2.0
    crud_reveal: Annotated[
        tuple[str, ...],
        Meta(description="Secret fields to show in crud events all the same: `keyauth_credentials.key`."),
    ] = ()
    balancer_poll_seconds: Annotated[
        Seconds, Meta(description="Seconds between two looks at an upstream's health.")
    ] = 10.0
    balancer_unhealthy_poll_seconds: Annotated[
        Seconds, Meta(description="The same for an upstream with an address that is not healthy.")
    ] = 2.0
    balancer_requests_per_second: Annotated[
        float,
        Meta(gt=0, description="Questions for health a second, in all; past it upstreams are looked at later."),
    ] = 50.0
    gateway_poll_seconds: Annotated[
        Seconds, Meta(description="Seconds between two questions whether the Admin API and its database are there.")
    ] = 5.0
    gateway_failures: Annotated[
        int, Meta(ge=1, description="Failures in a row after which the gateway is told to be unreachable.")
    ] = 3
    certificate_days: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(description="Days left at which a certificate is told to expire; that it has expired always is."),
    ] = (30, 7, 1)
    certificate_poll_seconds: Annotated[Seconds, Meta(description="Seconds between two looks at all certificates.")] = (
        86_400.0
    )
    rate_limit_approaching_percent: Annotated[
        float,
        Meta(gt=0, le=100, description="Used share of a limit, in percent, from which it is told as approaching."),
    ] = 80.0
    listen: Annotated[
        str,
        Meta(
            description="Address and port of the REST API, /healthz, /readyz and /metrics; port 0 takes a free one. "
            "Beyond loopback a token is needed."
        ),
    ] = "127.0.0.1:8010"
    grpc_listen: Annotated[
        str | None, Meta(description="Address and port of the gRPC API; the same rule. Unset: off.")
    ] = None
    api_token_file: Annotated[
        str | None,
        Meta(
            description="File with the token that changes through the API need, and without which secrets are masked."
        ),
    ] = None
    api_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names under which the API may be called, beside `localhost` and any IP address."),
    ] = ()
    log_format: Annotated[
        Literal["auto", "json", "human"],
        Meta(description="Log lines as JSON or for people; `auto`: for people on a terminal."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least level of a log line.")
    ] = "info"
    infer_rate_limits_on: Annotated[
        tuple[str, ...],
        Meta(
            description="Routes and services where an answer of Kong's own without rate-limit headers is a broken rate "
            "limit: `route:NAME`, `service:NAME`, with another status than 429 `route:NAME@403`. NAME may be an id."
        ),
    ] = ()
    kong_signature: Annotated[
        Literal["sha256", "sha1"],
        Meta(description="Digest of `x-kong-signature`: `sha256` as Kong since 3.14, `sha1` as before."),
    ] = "sha256"
    deliver: Annotated[
        bool,
        Meta(
            description="Deliver from this process. False: accept events only; another process over the store delivers."
        ),
    ] = True
    hook_concurrency: Annotated[int, Meta(ge=1, le=1024, description="Deliveries in flight per hook.")] = 8
    total_concurrency: Annotated[int, Meta(ge=1, le=8192, description="Deliveries in flight in all.")] = 256
    timeout_seconds: Annotated[Seconds, Meta(description="Seconds for one attempt in all.")] = 15.0
    connect_timeout_seconds: Annotated[Seconds, Meta(description="Seconds of it to connect.")] = 5.0
    allow_private_addresses: Annotated[
        bool,
        Meta(
            description="Let hooks call loopback and private addresses. Cloud metadata and link-local addresses are "
            "always refused."
        ),
    ] = True
    allow_cidrs: Annotated[
        tuple[str, ...], Meta(description="Networks that hooks may call although private addresses are refused.")
    ] = ()
    deny_cidrs: Annotated[tuple[str, ...], Meta(description="Networks that hooks may not call.")] = ()
    queue_deliveries: Annotated[
        int, Meta(ge=1, description="Unsettled deliveries in all; one more is refused and counted.")
    ] = 1_000_000
    queue_bytes: Annotated[
        int, Meta(ge=1 << 16, description="Bytes of unsettled deliveries; past it a new one is refused and counted.")
    ] = 1 << 30
    queue_deliveries_per_hook: Annotated[
        int, Meta(ge=1, description="Unsettled deliveries of one hook; one more is refused and counted.")
    ] = 100_000
    keep_settled_seconds: Annotated[
        Seconds, Meta(description="How long a delivered or dead delivery is kept, with its attempts.")
    ] = 604_800.0
    keep_settled_count: Annotated[int, Meta(ge=0, description="How many of them are kept at most.")] = 100_000
    keep_answer_bytes: Annotated[
        int,
        Meta(
            ge=0, description="Bytes of endpoints' answers kept in all; past it an attempt is kept without its answer."
        ),
    ] = 1 << 28
    untrusted_lua: Annotated[
        Literal["off", "sandbox", "on"],
        Meta(
            description="What lambdas may do: `sandbox` as in Kong, `off` refuses them, `on` lets them use files and "
            "processes too. The sandbox's limits hold in any case."
        ),
    ] = "sandbox"
    untrusted_lua_sandbox_requires: Annotated[
        tuple[str, ...], Meta(description="Modules that lambdas may `require` in the sandbox.")
    ] = ()
    untrusted_lua_sandbox_environment: Annotated[
        tuple[str, ...], Meta(description="Globals that lambdas see in the sandbox beside its own: `os.getenv`.")
    ] = ()
    sandbox_workers: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Processes at most that run lambdas, templates and filters; none runs while there is nothing "
            "to do.",
        ),
    ] = 2
    sandbox_wall_seconds: Annotated[Seconds, Meta(description="Seconds that one task of theirs may last.")] = 2.0
    sandbox_cpu_seconds: Annotated[Seconds, Meta(description="Seconds of CPU time that one task may use.")] = 1.0
    sandbox_memory_bytes: Annotated[
        int, Meta(ge=1 << 20, description="Bytes of memory that a task may use beyond what an idle process has.")
    ] = 64 << 20
    sandbox_output_bytes: Annotated[
        int, Meta(ge=1024, description="Bytes of text that the templates of one delivery may make.")
    ] = 1 << 20
    drain_seconds: Annotated[
        Seconds, Meta(description="Seconds that a stopping worker has to end calls and deliveries in flight.")
    ] = 10.0


def load(flags: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of all places.

    ``flags`` holds what was said on the command line, by field name, as text or values; None is unsaid.
    Raises ``SettingsError`` that names the setting, its place and what it takes.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _checked(_read(file), str(file))
    values |= _checked(_from_environment(environment), "environment")
    values |= _checked({key: value for key, value in flags.items() if value is not None}, "flag")
    return Settings(**values)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT_PREFIX)
    }


def _checked(values: Mapping[str, Any], place: str) -> dict[str, Any]:
    hints = get_type_hints(Settings, include_extras=True)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise SettingsError(f"{place}: unknown setting {unknown[0]!r}; docs/settings.md lists them")
    return {key: _convert(key, value, hints[key], place) for key, value in values.items()}


def _convert(key: str, value: Any, hint: Any, place: str) -> Any:
    text, is_list = isinstance(value, str), get_origin(plain(hint)) is tuple
    if value == "" and not is_list:
        # Mostly a variable that nobody filled in: to go on without a token's file, say, would be wrong.
        raise SettingsError(f"{place}: {key}: is empty; leave it out for its default")
    if text and is_list:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hint, strict=not text)
    except msgspec.ValidationError as error:
        choices = get_args(plain(hint)) if get_origin(plain(hint)) is Literal else ()
        hint_text = f"; one of: {', '.join(choices)}" if choices else "".join(_for_example(hint))
        raise SettingsError(f"{place}: {key}: {error}{hint_text}") from error


def _for_example(hint: Any) -> Iterator[str]:
    """Yield what to write instead, where the type says so."""
    for part in get_args(hint):
        if isinstance(part, Meta):
            yield from (f"; for example {example}" for example in part.examples or ())
        else:
            yield from _for_example(part)


def plain(hint: Any) -> Any:
    """Return the type inside ``Annotated``, however deep."""
    return plain(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


class Described(msgspec.Struct, frozen=True):
    """A setting as documentation and the command line need it."""

    name: str
    hint: Any
    default: Any
    description: str

    @property
    def flag(self) -> str:
        """``--socket-path``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """``KONG_EVENTHOOKS_SOCKET_PATH``."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def described() -> Iterator[Described]:
    """Yield every setting in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        meta = next(part for part in hints[field.name].__metadata__ if isinstance(part, Meta) and part.description)
        yield Described(field.name, hints[field.name], field.default, meta.description or "")


def markdown() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Made by `python -m kong_eventhooks_plugin.settings`; change the descriptions there. -->",
        "",
        "A setting is a flag of `serve`, else an environment variable, else a key of the TOML file given with",
        "`--settings`, else its default: `--data-dir PATH`, `KONG_EVENTHOOKS_DATA_DIR=PATH`, `data_dir = 'PATH'`.",
        "A list is a TOML array; in a flag or a variable commas separate its values (`--certificate-days 30,7`).",
        "A list may be empty. Any other empty value is refused: it is mostly a variable that nobody filled in.",
        "A server that Kong starts sees no environment: use flags or the file.",
        "",
        "SIGHUP starts a new worker, which reads file and environment anew, and lets the old one go. `socket_path`,",
        "`socket_group`, `protocol`, `started_by_kong`, `drain_seconds` and `log_format` need a restart of the whole.",
        "",
        "| key and flag | default | what it says |",
        "|---|---|---|",
    ]
    for setting in described():
        default = "unset" if setting.default in (None, ()) else f"`{_literal(setting.default)}`"
        lines.append(f"| `{setting.name}`<br>`{setting.flag}` | {default} | {setting.description} |")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_literal, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is the document's generator
