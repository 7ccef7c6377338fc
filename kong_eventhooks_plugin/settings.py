"""Every setting: from a flag, the environment, a file, or its default, in that order.

A server that Kong starts has an all but empty environment, so each setting is also a flag and a key of
a TOML file (``--settings FILE``). ``socket_path`` is ``--socket-path``, ``KONG_EVENTHOOKS_SOCKET_PATH``
and ``socket_path = "..."``. A list is a TOML array or, in a flag or variable, separated by commas.

docs/settings.md is generated from this file (``python -m kong_eventhooks_plugin.settings``); a test compares.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kong_eventhooks_plugin.errors import SettingsError

ENVIRONMENT_PREFIX = "KONG_EVENTHOOKS_"

Seconds = Annotated[float, Meta(gt=0)]


def about(description: str, **bounds: Any) -> Meta:
    return Meta(description=description, **bounds)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting. The order of the fields is the order of the documentation."""

    socket_path: Annotated[
        str, about("Path of the unix socket that Kong connects to: `pluginserver_event_hooks_socket` in kong.conf.")
    ] = "/run/kong-event-hooks/plugin.sock"
    socket_group: Annotated[
        str | None,
        about(
            "Name or number of the group that may use the socket (mode 0660): the group of Kong's workers. Unset: the "
            "sidecar's own group."
        ),
    ] = None
    protocol: Annotated[
        Literal["protobuf", "msgpack"],
        about(
            "Kong's plugin server protocol: `protobuf` (ProtoBuf:1, the faster one) or `msgpack` (MsgPack:1, served "
            "by kong-pdk)."
        ),
    ] = "protobuf"
    started_by_kong: Annotated[
        bool,
        about(
            "Kong starts the server by `start_cmd`: it takes the socket over from the server that ran before a "
            "reload, and exits after its Kong has exited."
        ),
    ] = False
    data_dir: Annotated[
        str,
        about(
            "Directory of the durable queue, `events.db`, of the state of Kong, `gateway.db`, and of a note on who "
            "listened on the socket. A missing directory is created with mode 0700 where its parent exists. Only the "
            "sidecar's user should be able to write to it."
        ),
    ] = "/var/lib/kong-event-hooks"
    kong_yml: Annotated[
        tuple[str, ...],
        about("Declarative files to load hooks from and to watch: those that a DB-less Kong starts with."),
    ] = ()
    admin_url: Annotated[
        Annotated[str, Meta(pattern="^https?://", examples=["http://127.0.0.1:8001"])] | None,
        about(
            "Address of Kong's Admin API (`http://127.0.0.1:8001`). With it, hooks are loaded before the first "
            "request, and refusals are attributed to the plugins that are in force. The sources `crud`, `dao:crud`, "
            "`balancer`, `certificate`, `gateway`, `service-protection` and `oas-validation` need it. Unset: the "
            "Admin API is not used."
        ),
    ] = None
    admin_token_file: Annotated[
        str | None, about("File with the token that is sent to the Admin API as `Kong-Admin-Token`.")
    ] = None
    admin_poll_seconds: Annotated[
        Seconds,
        about("Interval between two reads of the Admin API's plugins, which declare hooks and explain refusals."),
    ] = 10.0
    admin_page_size: Annotated[
        int,
        about(
            "Number of entities in a page that is read from the Admin API. A large page delays the requests that Kong "
            "proxies meanwhile.",
            ge=1,
            le=1000,
        ),
    ] = 100
    admin_pause_factor: Annotated[
        float,
        about(
            "Pause after each page, as a multiple of the time that the page took. With 2, Kong spends at most a third "
            "of the time on the sidecar's requests.",
            ge=0,
            le=100,
        ),
    ] = 2.0
    crud_reconcile_seconds: Annotated[
        Seconds, about("Interval between two reconciliations, which find changes that bypassed the route.")
    ] = 60.0
    crud_grace_seconds: Annotated[
        Seconds,
        about(
            "How long a reconciliation waits for the route to report a change that it found, because only the route "
            "knows who made it."
        ),
    ] = 2.0
    crud_reveal: Annotated[
        tuple[str, ...], about("Secret fields that crud events show in clear text: `keyauth_credentials.key`.")
    ] = ()
    balancer_poll_seconds: Annotated[Seconds, about("Interval between two polls of an upstream's health.")] = 10.0
    balancer_unhealthy_poll_seconds: Annotated[
        Seconds, about("Interval between two polls of an upstream that has an unhealthy address.")
    ] = 2.0
    balancer_requests_per_second: Annotated[
        float,
        about("Maximum rate of health requests for all upstreams together. At the maximum, polls are late.", gt=0),
    ] = 50.0
    gateway_poll_seconds: Annotated[
        Seconds, about("Interval between two checks that the Admin API and its database are reachable.")
    ] = 5.0
    gateway_failures: Annotated[
        int, about("Number of failed checks in a row after which `gateway` reports an outage.", ge=1)
    ] = 3
    certificate_days: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        about("Days before its expiry at which a certificate is reported. An expired one always is."),
    ] = (30, 7, 1)
    certificate_poll_seconds: Annotated[Seconds, about("Interval between two reads of all certificates.")] = 86_400.0
    rate_limit_approaching_percent: Annotated[
        float, about("Used share of a limit, in percent, at which it is reported as approaching.", gt=0, le=100)
    ] = 80.0
    listen: Annotated[
        str,
        about(
            "Address and port of the REST API, /healthz, /readyz and /metrics. Port 0 selects a free port. An address "
            "other than loopback requires `api_token_file`."
        ),
    ] = "127.0.0.1:8010"
    grpc_listen: Annotated[
        str | None,
        about("Address and port of the gRPC API, under the same rule. Unset: the sidecar serves no gRPC API."),
    ] = None
    api_token_file: Annotated[
        str | None,
        about("File with the API's token. Changes through the API require it, and without it answers mask secrets."),
    ] = None
    api_hosts: Annotated[
        tuple[str, ...], about("Host names that the API answers to, besides `localhost` and any IP address.")
    ] = ()
    log_format: Annotated[
        Literal["auto", "json", "human"],
        about("Format of log lines: JSON or columns. `auto` writes columns to a terminal, JSON elsewhere."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("Lowest level of log lines that are written.")
    ] = "info"
    kong_error_log: Annotated[
        str | None,
        about(
            "Path of Kong's error log, which the sidecar must be able to write to: lines of `log` and `lambda` hooks "
            "are appended at once. Unset: Kong writes them, an event's in the request that caused it, others in its "
            "next request."
        ),
    ] = None
    infer_rate_limits_on: Annotated[
        tuple[str, ...],
        about(
            "Routes and services where a 429 of Kong's own without rate-limit headers counts as an exceeded rate "
            "limit: `route:NAME`, `service:NAME`; with another status than 429, `route:NAME@403`. NAME may be an id."
        ),
    ] = ()
    kong_signature: Annotated[
        Literal["sha256", "sha1"], about("Digest of `x-kong-signature`: `sha256` as Kong since 3.14, `sha1` as before.")
    ] = "sha256"
    deliver: Annotated[
        bool,
        about(
            "Deliver from this process. `false`: only accept events; another process with the same `data_dir` "
            "delivers them."
        ),
    ] = True
    hook_concurrency: Annotated[int, about("Maximum number of deliveries in flight for one hook.", ge=1, le=1024)] = 8
    total_concurrency: Annotated[
        int, about("Maximum number of deliveries in flight for all hooks together.", ge=1, le=8192)
    ] = 256
    timeout_seconds: Annotated[
        Seconds, about("Time-out of one attempt, from name resolution to the end of the answer.")
    ] = 15.0
    connect_timeout_seconds: Annotated[Seconds, about("Time-out of its connection: name resolution, TCP and TLS.")] = (
        5.0
    )
    allow_private_addresses: Annotated[
        bool,
        about(
            "Allow hooks to call loopback and private addresses. Cloud metadata and link-local addresses are always "
            "refused."
        ),
    ] = True
    allow_cidrs: Annotated[
        tuple[str, ...], about("Networks that hooks may call while `allow_private_addresses` is `false`.")
    ] = ()
    deny_cidrs: Annotated[tuple[str, ...], about("Networks that hooks may not call.")] = ()
    queue_deliveries: Annotated[
        int, about("Maximum number of pending deliveries. At the maximum, new ones are refused and counted.", ge=1)
    ] = 1_000_000
    queue_bytes: Annotated[
        int,
        about(
            "Maximum size of all pending deliveries in bytes. At the maximum, new ones are refused and counted.",
            ge=1 << 16,
        ),
    ] = 1 << 30
    queue_deliveries_per_hook: Annotated[
        int,
        about(
            "Maximum number of pending deliveries of one hook. At the maximum, new ones are refused and counted.", ge=1
        ),
    ] = 100_000
    keep_settled_seconds: Annotated[
        Seconds, about("How long a delivered or dead delivery is kept, with its attempts.")
    ] = 604_800.0
    keep_settled_count: Annotated[
        int, about("Maximum number of delivered and dead deliveries that are kept.", ge=0)
    ] = 100_000
    keep_answer_bytes: Annotated[
        int,
        about(
            "Maximum size of all kept answers of endpoints in bytes. At the maximum, an attempt is kept without its "
            "answer.",
            ge=0,
        ),
    ] = 1 << 28
    untrusted_lua: Annotated[
        Literal["off", "sandbox", "on"],
        about(
            "What lambdas may do: `off` refuses lambdas, `sandbox` runs them as Kong does, `on` gives them files and "
            "processes too. The limits of the sandbox apply in each case."
        ),
    ] = "sandbox"
    untrusted_lua_sandbox_requires: Annotated[
        tuple[str, ...], about("Modules that lambdas may `require` in the sandbox.")
    ] = ()
    untrusted_lua_sandbox_environment: Annotated[
        tuple[str, ...], about("Additional globals that lambdas see in the sandbox: `os.getenv`.")
    ] = ()
    sandbox_workers: Annotated[
        int,
        about(
            "Maximum number of processes that run lambdas, templates and filters. They start on demand and exit when "
            "idle.",
            ge=1,
            le=64,
        ),
    ] = 2
    sandbox_wall_seconds: Annotated[Seconds, about("Maximum duration of one task in the sandbox.")] = 2.0
    sandbox_cpu_seconds: Annotated[Seconds, about("Maximum CPU time of one task in the sandbox.")] = 1.0
    sandbox_memory_bytes: Annotated[
        int, about("Maximum memory of one task in bytes, in addition to what an idle sandbox process uses.", ge=1 << 20)
    ] = 64 << 20
    sandbox_output_bytes: Annotated[
        int, about("Maximum size in bytes of the text that the templates of one delivery produce.", ge=1024)
    ] = 1 << 20
    drain_seconds: Annotated[Seconds, about("How long a stopping worker waits for calls and deliveries in flight.")] = (
        10.0
    )


DEFAULTS = Settings()
"""What applies where nothing is set. The parts' limits take their defaults from here, so that each is written once."""


def load(flags: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from all origins.

    ``flags`` maps field names to texts or values; None is unset.
    Raises ``SettingsError``, which names the setting, its origin and the values that it accepts.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _checked(_read(file), str(file))
    values |= _checked(_from_environment(environment), "environment")
    values |= _checked({key: value for key, value in flags.items() if value is not None}, "flag")
    return Settings(**values)


def read_token(file: str | None, setting: str) -> str | None:
    """Return the token that a file of the setting holds. Raises ``SettingsError``."""
    if file is None:
        return None
    try:
        token = Path(file).read_text("utf-8-sig").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{setting}: {file}: cannot be read ({error})") from error
    if not token:
        raise SettingsError(f"{setting}: {file}: is empty; it has to hold the token")
    return token


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


def _checked(values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    hints = get_type_hints(Settings, include_extras=True)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise SettingsError(f"{origin}: unknown setting {unknown[0]!r}; docs/settings.md lists them")
    return {key: _convert(key, value, hints[key], origin) for key, value in values.items()}


def _convert(key: str, value: Any, hint: Any, origin: str) -> Any:
    is_text, is_list = isinstance(value, str), get_origin(plain(hint)) is tuple
    if value == "" and not is_list:
        # Mostly an unset variable: to go on without a token's file, say, would be wrong.
        raise SettingsError(f"{origin}: {key}: is empty; leave it out for its default")
    if is_text and is_list:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hint, strict=not is_text)
    except msgspec.ValidationError as error:
        choices = _choices(hint)
        advice = f"; one of: {', '.join(choices)}" if choices else "".join(_examples(hint))
        raise SettingsError(f"{origin}: {key}: {error}{advice}") from error


def _choices(hint: Any) -> tuple[str, ...]:
    return get_args(plain(hint)) if get_origin(plain(hint)) is Literal else ()


def _metas(hint: Any) -> Iterator[Meta]:
    """Yield the annotations of a type, however deep."""
    for part in get_args(hint):
        if isinstance(part, Meta):
            yield part
        else:
            yield from _metas(part)


def _examples(hint: Any) -> Iterator[str]:
    for meta in _metas(hint):
        yield from (f"; for example {example}" for example in meta.examples or ())


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


def described() -> Iterator[Described]:
    """Yield every setting in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        description = next(meta.description for meta in _metas(hints[field.name]) if meta.description)
        yield Described(field.name, hints[field.name], field.default, description)


_HEAD = """\
# Settings

<!-- Generated by `python -m kong_eventhooks_plugin.settings`; change the descriptions there. -->

Every setting has a default that works on one host with Kong. Set one as a flag of `kong-event-hooks serve`, as an
environment variable, or as a key of the TOML file given with `--settings`:

```
kong-event-hooks serve --data-dir PATH
KONG_EVENTHOOKS_DATA_DIR=PATH kong-event-hooks serve
data_dir = 'PATH'
```

The flag wins over the variable, the variable over the file. A server that Kong starts sees no environment: use flags
or the file. A list is a TOML array; in a flag or a variable, commas separate its values (`--certificate-days 30,7`).
A list may be empty; any other empty value is refused, because it is mostly an unset variable.

SIGHUP reloads: a new worker reads the file and the environment again and replaces the old one. `socket_path`,
`socket_group`, `protocol`, `started_by_kong`, `drain_seconds` and `log_format` take effect after a restart only.

| key and flag | value | default | description |
|---|---|---|---|
"""


def markdown() -> str:
    """Return docs/settings.md."""
    rows = []
    for setting in described():
        default = "unset" if setting.default in (None, ()) else f"`{_literal(setting.default)}`"
        row = (f"`{setting.name}`<br>`{setting.flag}`", _value(setting), default, setting.description)
        rows.append(f"| {' | '.join(row)} |\n")
    return _HEAD + "".join(rows)


_NAMES = {str: "text", int: "integer", float: "number"}


def _value(setting: Described) -> str:
    """Return what a setting accepts, with its range: ``integer, 1 to 1,000``."""
    kind = plain(setting.hint)
    if kind is bool:
        return "`true`, `false`"
    if choices := _choices(setting.hint):
        return ", ".join(f"`{choice}`" for choice in choices)
    one = plain(next((part for part in get_args(kind) if part is not type(None)), kind))
    name = "seconds" if setting.name.endswith("_seconds") else _NAMES[one]
    return ("list of " if get_origin(kind) is tuple else "") + name + _range(list(_metas(setting.hint)))


def _range(metas: Sequence[Meta]) -> str:
    above, least, most = (
        next((bound for meta in metas if (bound := getattr(meta, end)) is not None), None) for end in ("gt", "ge", "le")
    )
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    bounds = (("> ", above), (">= ", least), ("<= ", most))
    return "".join(f", {sign}{bound:,}" for sign, bound in bounds if bound is not None)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_literal, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is the document's generator
