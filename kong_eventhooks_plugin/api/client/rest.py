"""Calls to the API over HTTP. Every failure is a ``RemoteError`` whose text says what to do.

Limits: ``SECONDS`` for a call, connection included; ``MAX_ANSWER`` bytes for an answer. The environment's proxies are
not used: the API is local.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import httpx
import msgspec

from kong_eventhooks_plugin.api.client.sse import Message, Parser
from kong_eventhooks_plugin.api.client.tls import NO_AUTHORITIES, OWN, ClientTls, client_context, tls_advice
from kong_eventhooks_plugin.errors import RemoteError

SECONDS: Final = 75.0
"""Longer than the API's own limit, whose error text says more."""

SILENCE: Final = 60.0
"""Seconds without a heartbeat after which a stream counts as broken."""

MAX_ANSWER: Final = 64 << 20
PAGE_SIZE: Final = 1_000

DEFAULT_URL: Final = "http://127.0.0.1:8010"

Fields = Sequence[tuple[str, str]]


class Origin(NamedTuple):
    """Where a target's address and the file of its token are named: what errors tell to change."""

    address: str = "--url"
    credential: str = "--token-file"


class ApiTarget(NamedTuple):
    url: str = DEFAULT_URL
    token: str | None = None
    tls: ClientTls = ClientTls()
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return f"ApiTarget(url={self.url!r})"


class Unreachable(RemoteError):
    """Nothing answered, or a stream broke: a retry may help."""


class NotFound(RemoteError):
    """404: the caller knows what it asked for; where it named nothing, this is not our API."""


class RestClient:
    """A context manager. ``call`` returns the answer's JSON, None where it has no body."""

    def __init__(self, target: ApiTarget) -> None:
        self._target = target
        headers = {b"accept": b"application/json", b"user-agent": b"kong-event-hooks"}
        if target.token is not None:
            headers[b"authorization"] = f"Bearer {target.token}".encode()
        verify = client_context(target.tls) if target.url.lower().startswith("https:") else NO_AUTHORITIES
        try:
            self._http = httpx.Client(
                base_url=target.url, headers=headers, timeout=SECONDS, trust_env=False, verify=verify
            )
        except (httpx.InvalidURL, TypeError) as error:
            raise RemoteError(f"{target.origin.address} {target.url}: is not a URL ({error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Fields | None = None,
        accept: int | None = None,
    ) -> Any:
        """Make a call; raises ``RemoteError``. The parts of ``path`` may hold anything; ``accept`` is no error."""
        content, headers = _body(json, form)
        try:
            with self._http.stream(
                method, _path(path), params=_present(query), content=content, headers=headers
            ) as response:
                body = self._read(response)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return self._checked(response, body, accept)

    def pages(self, *path: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, all pages of it. Raises as ``call``."""
        offset: str | None = None
        while True:
            page = self.call("GET", *path, query={"size": PAGE_SIZE, "offset": offset})
            yield from page["data"]
            if (offset := page.get("offset")) is None:
                return

    @contextmanager
    def stream(
        self, *path: str, query: Mapping[str, Any] | None = None, last: str | None = None
    ) -> Iterator[Iterator[Message]]:
        """Open a stream of server-sent events. Raises ``RemoteError``, and ``Unreachable`` where it ends."""
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
        timeout = httpx.Timeout(SECONDS, read=SILENCE)
        try:
            with self._http.stream(
                "GET", _path(path), params=_present(query), headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    self._checked(response, self._read(response))
                yield self._messages(response)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _messages(self, response: httpx.Response) -> Iterator[Message]:
        parser = Parser()
        try:
            for chunk in response.iter_bytes():
                yield from parser.feed(chunk)
        except httpx.HTTPError as error:
            raise Unreachable(f"the stream broke ({type(error).__name__})") from error
        raise Unreachable("the sidecar ended the stream")

    def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise RemoteError("the answer is too large; ask for less with --size")
        return bytes(body)

    def _checked(self, response: httpx.Response, body: bytes, accept: int | None = None) -> Any:
        try:
            value = msgspec.json.decode(body) if body else None
        except msgspec.DecodeError as error:
            raise RemoteError(self._not_our_api(f"status {response.status_code}")) from error
        if response.status_code == 404:
            raise NotFound(self._not_our_api(_message(404, value)))
        if not response.is_success and response.status_code != accept:
            raise self._error(response.status_code, value)
        return value

    def _not_our_api(self, answer: str) -> str:
        return (
            f"{self._target.url} does not answer as a sidecar does ({answer}); is {self._target.origin.address} right? "
            "It is the address of the setting 'listen'"
        )

    def _error(self, status: int, value: Any) -> RemoteError:
        message = _message(status, value)
        if status == 401:
            message = f"{message.partition(';')[0]}; name a file that holds it with {self._target.origin.credential}"
        return RemoteError(f"{message}; try again in a moment" if status == 503 else message)

    def _unreachable(self, error: httpx.HTTPError) -> RemoteError:
        url = self._target.url
        if isinstance(error, httpx.UnsupportedProtocol):
            return RemoteError(f"{self._target.origin.address} {url}: must begin with http:// or https://")
        if (advice := tls_advice(error)) is not None:
            return RemoteError(f"{url}: {advice}")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Unreachable(
                f"no sidecar answers at {url}; start one with 'kong-event-hooks serve', or name its address with "
                f"{self._target.origin.address}"
            )
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"{url} took too long to answer")
        own = f"; where it asks for a certificate, {OWN}" if url.startswith("https:") else ""
        return Unreachable(f"{url} did not answer ({type(error).__name__}){own}")


def _message(status: int, value: Any) -> str:
    return str(value["message"]) if isinstance(value, dict) and "message" in value else f"answered {status}"


def _path(parts: Sequence[str]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _body(json: Any, form: Fields | None) -> tuple[bytes | None, dict[str, str]]:
    if form is not None:
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in form)
        return text.encode(), {"content-type": "application/x-www-form-urlencoded"}
    return (None, {}) if json is None else (msgspec.json.encode(json), {"content-type": "application/json"})
