"""Every setting: from a flag, the environment, a file, or its default, in that order.

A server that Kong starts has an all but empty environment, so each setting is also a flag and a key of
a TOML file (``--settings FILE``). ``socket_path`` is ``--socket-path``, ``KONG_EVENTHOOKS_SOCKET_PATH``
and ``socket_path = "..."``. A list is a TOML array or, in a flag or variable, separated by commas.

docs/settings.md is generated from this file (``python -m kong_eventhooks_plugin.settings``); a test compares.
"""
# ruff: noqa: RUF009 - the call makes the field

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.suggestions import closest, did_you_mean

ENVIRONMENT_PREFIX = "KONG_EVENTHOOKS_"

MAX_FILE_BYTES = 1 << 20
MAX_TOKEN_BYTES = 64 << 10

ADDRESSES = ("listen", "grpc_listen")
_ADDRESS = re.compile(r"([^\s:]*|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")

Seconds = Annotated[float, Meta(gt=0)]

_PROXY = "http://proxy.example.com:3128"
_COLLECTOR = "http://127.0.0.1:4318"


_STORE = "postgresql://event_hooks@db.example.com/kong?sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem"


def setting(default: Any, description: str, *, secret: bool = False) -> Any:
    """Return a setting's field; a ``secret`` one is not in the text of the settings."""
    return field(default=default, metadata={"description": description}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """Every setting. The order of the fields is the order of the documentation."""

    socket_path: str = setting(
        "/run/kong-event-hooks/plugin.sock",
        "Path of the unix socket that Kong connects to: `pluginserver_event_hooks_socket` in kong.conf.",
    )
    socket_group: str | None = setting(
        None,
        "Name or number of the group that may use the socket (mode 0660): the group of Kong's workers. Unset: the "
        "sidecar's own group.",
    )
    protocol: Literal["protobuf", "msgpack"] = setting(
        "protobuf",
        "Kong's plugin server protocol: `protobuf` (ProtoBuf:1, the faster one) or `msgpack` (MsgPack:1, served by "
        "kong-pdk).",
    )
    started_by_kong: bool = setting(
        False,
        "Kong starts the server by `start_cmd`: it takes the socket over from the server that ran before a reload, "
        "and exits after its Kong has exited.",
    )
    max_waiting_calls: Annotated[int, Meta(ge=1)] = setting(
        100,
        "How many events of Kong's calls may wait to be stored before calls are answered at once and their events "
        "stored after (`early` in the metric of socket errors). A call that waits is a running timer in nginx, and a "
        "worker of Kong's that has 4,096, some 600 of them its own, drops events unseen. It is also a connection, "
        "and past the 256 that a worker keeps (`lua_socket_pool_size`) each call costs a new one.",
    )
    snoozed_logs_per_second: Annotated[int, Meta(ge=0)] | None = setting(
        None,
        "How many requests a second are looked at whose status can fire no hook now: each enabled hook for it has "
        "`snooze`, not `on_change`, and is silent. Of the others only the status is counted "
        "(`kong_event_hooks_unread_logs_total`): they are not in `/events`, and in `suppressed` only as `unread`. "
        "Unset: all are looked at.",
    )
    data_dir: str = setting(
        "/var/lib/kong-event-hooks",
        "Directory of the durable queue, `events.db`, of the state of Kong, `gateway.db`, and of a note on who "
        "listened on the socket. A missing directory is created with mode 0700 where its parent exists. Only the "
        "sidecar's user should be able to write to it.",
    )
    store: Annotated[str, Meta(pattern="^postgres(ql)?://", examples=[_STORE])] | None = setting(
        None,
        "URL of a PostgreSQL (14 or newer) that the sidecars of a cluster share: "
        "`postgresql://event_hooks@db.example.com/kong?sslmode=verify-full`. Hosts, `target_session_attrs` and TLS "
        "(`sslmode`, `sslrootcert`, `sslcert`, `sslkey`) are as libpq names them. A password belongs in "
        "`store_url_file`. The role has to own the schema `kong_event_hooks`, or be allowed to create it. Unset: each "
        "sidecar is on its own, with `events.db`.",
        secret=True,
    )
    store_url_file: str | None = setting(
        None, "File with that URL, in place of `store`: the command line and the environment show no password then."
    )
    kong_yml: tuple[str, ...] = setting(
        (), "Declarative files to load hooks from and to watch: those that a DB-less Kong starts with."
    )
    admin_url: Annotated[str, Meta(pattern="^https?://", examples=["http://127.0.0.1:8001"])] | None = setting(
        None,
        "Address of Kong's Admin API (`http://127.0.0.1:8001`). With it, hooks are loaded before the first request, "
        "and refusals are attributed to the plugins that are in force. The sources `crud`, `dao:crud`, `balancer`, "
        "`certificate`, `gateway`, `service-protection` and `oas-validation` need it. Unset: the Admin API is not "
        "used.",
    )
    admin_token_file: str | None = setting(
        None, "File with the token that is sent to the Admin API as `Kong-Admin-Token`."
    )
    admin_poll_seconds: Seconds = setting(
        10.0, "Interval between two reads of the Admin API's plugins, which declare hooks and explain refusals."
    )
    admin_page_size: Annotated[int, Meta(ge=1, le=1000)] = setting(
        100,
        "Number of entities in a page that is read from the Admin API. A large page delays the requests that Kong "
        "proxies meanwhile.",
    )
    admin_pause_factor: Annotated[float, Meta(ge=0, le=100)] = setting(
        2.0,
        "Pause after each page, as a multiple of the time that the page took. With 2, Kong spends at most a third of "
        "the time on the sidecar's requests.",
    )
    crud_reconcile_seconds: Seconds = setting(
        60.0, "Interval between two reconciliations, which find changes that bypassed the route."
    )
    crud_grace_seconds: Seconds = setting(
        2.0,
        "How long a reconciliation waits for the route to report a change that it found, because only the route "
        "knows who made it.",
    )
    crud_reveal: tuple[str, ...] = setting(
        (), "Secret fields that crud events show in clear text: `keyauth_credentials.key`."
    )
    balancer_poll_seconds: Seconds = setting(10.0, "Interval between two polls of an upstream's health.")
    balancer_unhealthy_poll_seconds: Seconds = setting(
        2.0, "Interval between two polls of an upstream that has an unhealthy address."
    )
    balancer_requests_per_second: Annotated[float, Meta(gt=0)] = setting(
        50.0, "Maximum rate of health requests for all upstreams together. At the maximum, polls are late."
    )
    gateway_poll_seconds: Seconds = setting(
        5.0, "Interval between two checks that the Admin API and its database are reachable."
    )
    gateway_failures: Annotated[int, Meta(ge=1)] = setting(
        3, "Number of failed checks in a row after which `gateway` reports an outage."
    )
    certificate_days: tuple[Annotated[int, Meta(ge=1)], ...] = setting(
        (30, 7, 1), "Days before its expiry at which a certificate is reported. An expired one always is."
    )
    certificate_poll_seconds: Seconds = setting(86_400.0, "Interval between two reads of all certificates.")
    rate_limit_approaching_percent: Annotated[float, Meta(gt=0, le=100)] = setting(
        80.0, "Used share of a limit, in percent, at which it is reported as approaching."
    )
    listen: str = setting(
        "127.0.0.1:8010",
        "Address and port of the REST API, /healthz, /readyz and /metrics. Port 0 selects a free port, `[::]` "
        "every address. An address other than loopback requires `api_token_file`.",
    )
    console: bool = setting(
        True,
        "Serve the console at `/` of `listen`: pages for people, behind a login with the token of `api_token_file`. "
        "Without that token they are open, as the API is, and `listen` is loopback.",
    )
    grpc_listen: str | None = setting(
        None, "Address and port of the gRPC API, under the same rule. Unset: the sidecar serves no gRPC API."
    )
    api_token_file: str | None = setting(
        None, "File with the API's token. Changes through the API require it, and without it answers mask secrets."
    )
    api_hosts: tuple[str, ...] = setting(
        (), "Host names that the API answers to, besides `localhost` and any IP address."
    )
    api_tls_cert: str | None = setting(
        None,
        "File with the certificate of the REST and gRPC API in PEM, followed by those of the authorities between. With "
        "it, both accept TLS 1.2 and later only.",
    )
    api_tls_key: str | None = setting(
        None,
        "File with the certificate's private key in PEM, without a passphrase. It belongs to the sidecar's user with "
        "mode 0600, or to root with 0640.",
    )
    api_tls_client_ca: str | None = setting(
        None,
        "File with certificates of authorities in PEM. Every caller of the API must have a certificate from one of "
        "them, health checks included. Unset: callers need none.",
    )
    log_format: Literal["auto", "json", "human"] = setting(
        "auto", "Format of log lines: JSON or columns. `auto` writes columns to a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Lowest level of log lines that are written."
    )
    kong_error_log: str | None = setting(
        None,
        "Path of Kong's error log, which the sidecar must be able to write to: lines of `log` and `lambda` hooks are "
        "appended at once. Unset: Kong writes them, an event's in the request that caused it, others in its next "
        "request.",
    )
    otlp_endpoint: Annotated[str, Meta(pattern=r"^https?://[^\s@?#]+$", examples=[_COLLECTOR])] | None = setting(
        None,
        f"Address of an OpenTelemetry collector that takes OTLP over HTTP (`{_COLLECTOR}`). With it, traces are sent "
        "there and webhooks have a `traceparent`. `/v1/traces` is added where it is missing. Unset: no tracing.",
    )
    otlp_headers_file: str | None = setting(
        None, "File with headers for the collector, its token for example: `name: value` on each line."
    )
    trace_sample_ratio: Annotated[float, Meta(ge=0, le=1)] = setting(
        1.0, "Share of the traces to record, where Kong's log does not say whether the request's trace is recorded."
    )
    infer_rate_limits_on: tuple[str, ...] = setting(
        (),
        "Routes and services where a 429 of Kong's own without rate-limit headers counts as an exceeded rate limit: "
        "`route:NAME`, `service:NAME`; with another status than 429, `route:NAME@403`. NAME may be an id.",
    )
    kong_signature: Literal["sha256", "sha1"] = setting(
        "sha256", "Digest of `x-kong-signature`: `sha256` as Kong since 3.14, `sha1` as before."
    )
    deliver: bool = setting(
        True,
        "Deliver from this process. `false`: only accept events; another process with the same `data_dir` delivers "
        "them.",
    )
    hook_concurrency: Annotated[int, Meta(ge=1, le=1024)] = setting(
        8, "Maximum number of deliveries in flight for one hook."
    )
    total_concurrency: Annotated[int, Meta(ge=1, le=8192)] = setting(
        256, "Maximum number of deliveries in flight for all hooks together."
    )
    timeout_seconds: Seconds = setting(15.0, "Time-out of one attempt, from name resolution to the end of the answer.")
    connect_timeout_seconds: Seconds = setting(5.0, "Time-out of its connection: name resolution, TCP and TLS.")
    allow_private_addresses: bool = setting(
        True,
        "Allow hooks to call loopback and private addresses. Cloud metadata and link-local addresses are always "
        "refused.",
    )
    allow_cidrs: tuple[str, ...] = setting(
        (), "Networks that hooks may call while `allow_private_addresses` is `false`."
    )
    deny_cidrs: tuple[str, ...] = setting((), "Networks that hooks may not call.")
    endpoint_proxy: Annotated[str, Meta(pattern=r"^http://[^\s@/?#]+/?$", examples=[_PROXY])] | None = setting(
        None,
        f"Forward proxy through which hooks call their endpoints (`{_PROXY}`). The address rules above hold for what "
        "is dialled directly, and for hosts that are addresses; the proxy resolves names, and its own rules hold for "
        "them. Unset: endpoints are called directly, whatever the environment says.",
    )
    endpoint_proxy_credentials_file: str | None = setting(
        None, "File with the `user:password` that the proxy asks for (Basic)."
    )
    endpoint_proxy_exceptions: tuple[str, ...] = setting(
        (),
        "Hosts that are called without the proxy: a host (`hooks.example.com`), a domain (`.example.com`: its hosts "
        "and itself), or a network (`10.0.0.0/8`), for hosts that are addresses.",
    )
    endpoint_client_cert: str | None = setting(
        None,
        "File with the certificate in PEM, and its chain, that is shown to the endpoints of hooks without a "
        "`client_cert_file` of their own. It is in a directory of `secret_file_directories`, and read every second.",
    )
    endpoint_client_key: str | None = setting(
        None, "File with its key in PEM, without a passphrase, under the same rules. Unset: it is in the same file."
    )
    endpoint_ca: str | None = setting(
        None,
        "File with certificates in PEM of the authorities that hooks without a `ca_file` trust in the place of the "
        "system's, under the same rules.",
    )
    secret_file_directories: tuple[Annotated[str, Meta(pattern="^/", examples=["/run/secrets"])], ...] = setting(
        ("/run/secrets", "/var/run/secrets", "/etc/kong-event-hooks/secrets"),
        "Directories that the files of hooks (secrets, certificates, keys) may be in, at any depth. A link that leads "
        "out of them is refused. `/` allows every file that the sidecar can read, an empty list none.",
    )
    queue_deliveries: Annotated[int, Meta(ge=1)] = setting(
        1_000_000, "Maximum number of pending deliveries. At the maximum, new ones are refused and counted."
    )
    queue_bytes: Annotated[int, Meta(ge=1 << 16)] = setting(
        1 << 30, "Maximum size of all pending deliveries in bytes. At the maximum, new ones are refused and counted."
    )
    queue_deliveries_per_hook: Annotated[int, Meta(ge=1)] = setting(
        100_000, "Maximum number of pending deliveries of one hook. At the maximum, new ones are refused and counted."
    )
    keep_settled_seconds: Seconds = setting(
        604_800.0, "How long a delivered or dead delivery is kept, with its attempts."
    )
    keep_settled_count: Annotated[int, Meta(ge=0)] = setting(
        100_000, "Maximum number of delivered and dead deliveries that are kept."
    )
    keep_answer_bytes: Annotated[int, Meta(ge=0)] = setting(
        1 << 28,
        "Maximum size in bytes of all requests and answers that are kept with attempts. At the maximum, an attempt is "
        "kept without them.",
    )
    untrusted_lua: Literal["off", "sandbox", "strict", "lax", "on"] = setting(
        "sandbox",
        "What lambdas may do: `off` refuses lambdas, `sandbox` runs them as Kong before 3.14, `strict` and `lax` as "
        "Kong since 3.14 but without the network, `on` gives them files and processes too. The limits of the sandbox "
        "apply in each case.",
    )
    untrusted_lua_sandbox_requires: tuple[str, ...] = setting((), "Modules that lambdas may `require` in the sandbox.")
    untrusted_lua_sandbox_environment: tuple[str, ...] = setting(
        (), "Additional globals that lambdas see in the sandbox: `os.getenv`."
    )
    sandbox_workers: Annotated[int, Meta(ge=1, le=64)] = setting(
        2,
        "Maximum number of processes that run lambdas, templates and filters. They start on demand and exit when idle.",
    )
    sandbox_wall_seconds: Seconds = setting(2.0, "Maximum duration of one task in the sandbox.")
    sandbox_cpu_seconds: Seconds = setting(1.0, "Maximum CPU time of one task in the sandbox.")
    sandbox_memory_bytes: Annotated[int, Meta(ge=1 << 20)] = setting(
        64 << 20, "Maximum memory of one task in bytes, in addition to what an idle sandbox process uses."
    )
    sandbox_output_bytes: Annotated[int, Meta(ge=1024)] = setting(
        1 << 20, "Maximum size in bytes of the text that the templates of one delivery produce."
    )
    sandbox_kernel_features: tuple[Literal["seccomp", "landlock"], ...] = setting(
        (),
        "Features that the kernel must have: a worker does not start where one is missing. Unset, the sandbox uses "
        "those that the kernel has; the log and /readyz name those that are missing. With `untrusted_lua` `on` neither "
        "is used.",
    )
    drain_seconds: Seconds = setting(10.0, "How long a stopping worker waits for calls and deliveries in flight.")
    watchdog_seconds: Annotated[float, Meta(ge=0)] = setting(
        10.0,
        "How long the worker may leave its supervisor without an answer, which then kills and replaces it. 0: the "
        "supervisor does not ask, which a worker under a debugger needs.",
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
        token = files.read(file, MAX_TOKEN_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        raise SettingsError(f"{setting}: {file}: cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise SettingsError(f"{setting}: {file}: cannot be read: it is not UTF-8 text") from error
    if not token:
        raise SettingsError(f"{setting}: {file}: is empty; it has to hold the credential")
    return token


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(files.read(file, MAX_FILE_BYTES).decode())
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
        named = ", ".join(f"{name[:100]!r}{_meant(name, hints)}" for name in unknown[:10])
        raise SettingsError(f"{origin}: unknown setting {named}; kong-event-hooks serve --help lists them")
    return {key: _convert(key, value, hints[key], origin) for key, value in values.items()}


def _meant(name: str, names: Iterable[str]) -> str:
    meant = closest(name, names)
    return "" if meant is None else f" (did you mean {meant}?)"


def _convert(key: str, value: Any, hint: Any, origin: str) -> Any:
    is_text, is_list = isinstance(value, str), get_origin(plain(hint)) is tuple
    if value == "" and not is_list:
        # Mostly an unset variable: to go on without a token's file, say, would be wrong.
        raise SettingsError(f"{origin}: {key}: is empty; leave it out for its default")
    if key in ADDRESSES and is_text and not _ADDRESS.fullmatch(value):
        raise SettingsError(f"{origin}: {key}: '{value}' is no address; expected HOST:PORT, for example 127.0.0.1:8010")
    if is_text and is_list:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hint, strict=not is_text)
    except msgspec.ValidationError as error:
        examples = (f" like {example}" for meta in _metas(hint) for example in meta.examples or ())
        accepted = _accepted(key, hint).replace("`", "") + "".join(examples)
        given = f", not {value!r}" if _shown(hint) else ""
        meant = did_you_mean(value, _choices(hint)) if isinstance(value, str) else ""
        raise SettingsError(f"{origin}: {key}: expected {accepted}{given}{meant}") from error


def _shown(hint: Any) -> bool:
    """Return whether a wrong value is shown: a text may be an address with a password."""
    kind = plain(hint)
    return kind is not str and (get_origin(kind) is Literal or all(_shown(part) for part in get_args(kind)))


def _choices(hint: Any) -> tuple[str, ...]:
    kind = plain(hint)
    one = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return get_args(one) if get_origin(one) is Literal else ()


def _metas(hint: Any) -> Iterator[Meta]:
    """Yield the annotations of a type, however deep."""
    for part in get_args(hint):
        if isinstance(part, Meta):
            yield part
        else:
            yield from _metas(part)


def plain(hint: Any) -> Any:
    """Return the type inside ``Annotated``, however deep."""
    return plain(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


GROUPS: Mapping[str, str] = {
    "socket_path": "Kong's plugin socket",
    "data_dir": "Store and declared hooks",
    "admin_url": "Kong's Admin API",
    "crud_reconcile_seconds": "Sources",
    "listen": "API",
    "log_format": "Log and traces",
    "infer_rate_limits_on": "Rate limits without headers",
    "kong_signature": "Delivery",
    "queue_deliveries": "Limits of the queue",
    "untrusted_lua": "Lua, templates and filters",
    "drain_seconds": "Process",
}
"""The first setting of a group -> the group's name, in the order of the settings."""


class Described(msgspec.Struct, frozen=True):
    """A setting as documentation and the command line need it."""

    name: str
    hint: Any
    default: Any
    description: str
    group: str

    @property
    def flag(self) -> str:
        """``--socket-path``."""
        return "--" + self.name.replace("_", "-")


def described() -> Iterator[Described]:
    group = ""
    hints = get_type_hints(Settings, include_extras=True)
    for one in fields(Settings):
        group = GROUPS.get(one.name, group)
        yield Described(one.name, hints[one.name], one.default, one.metadata["description"], group)


_HEAD = """\
# Settings

<!-- Generated by `python -m kong_eventhooks_plugin.settings`; change the descriptions there. -->

Every setting has a default that works on one host with Kong. Set one as a flag of `kong-event-hooks serve`, as an
environment variable, or as a key of the TOML file given with `--settings`:

```text
kong-event-hooks serve --data-dir PATH
KONG_EVENTHOOKS_DATA_DIR=PATH kong-event-hooks serve
data_dir = 'PATH'
```

The flag wins over the variable, the variable over the file. A server that Kong starts sees no environment: use flags
or the file. A list is a TOML array; in a flag or a variable, commas separate its values (`--certificate-days 30,7`).
A list may be empty; any other empty value is refused, because it is mostly an unset variable.

`serve` ends at once where a file with a token, other credentials or the API's certificate cannot be read. What is
watched may come later: `kong_yml`, `kong_error_log` and the certificates for endpoints.

SIGHUP reloads: a new worker reads the file and the environment again and replaces the old one. `socket_path`,
`socket_group`, `protocol`, `started_by_kong`, `drain_seconds`, `watchdog_seconds` and `log_format` take effect after a
restart only.

| key and flag | value | default | description |
|---|---|---|---|
"""


def markdown() -> str:
    rows = []
    for setting in described():
        default = "unset" if setting.default in (None, ()) else f"`{literal(setting.default)}`"
        accepted = _accepted(setting.name, setting.hint)
        row = (f"`{setting.name}`<br>`{setting.flag}`", accepted, default, setting.description)
        rows.append(f"| {' | '.join(row)} |\n")
    return _HEAD + "".join(rows)


_NAMES = {str: "text", int: "integer", float: "number"}


def _accepted(key: str, hint: Any) -> str:
    """Return what a setting accepts, with its range: ``integer, 1 to 1,000``."""
    kind = plain(hint)
    if kind is bool:
        return "`true`, `false`"
    list_of = "list of " if get_origin(kind) is tuple else ""
    if choices := _choices(hint):
        return list_of + ", ".join(f"`{choice}`" for choice in choices)
    one = plain(next((part for part in get_args(kind) if part is not type(None)), kind))
    name = "seconds" if key.endswith("_seconds") else _NAMES[one]
    return list_of + name + _range(list(_metas(hint)))


def _range(metas: Sequence[Meta]) -> str:
    above, least, most = (
        next((bound for meta in metas if (bound := getattr(meta, end)) is not None), None) for end in ("gt", "ge", "le")
    )
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    bounds = (("> ", above), (">= ", least), ("<= ", most))
    return "".join(f", {sign}{bound:,}" for sign, bound in bounds if bound is not None)


def literal(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(literal, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is the document's generator
