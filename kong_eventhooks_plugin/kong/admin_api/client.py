"""Reads Kong's Admin API: one object, one page of a list, or a whole list.

Limits: 100 entities a page (at 1,000, Kong's proxied p99 rose from 3 to 130 ms), 1,000 pages a list, 16 MiB a page,
``MAX_VALUES`` values in it (``bounded_json``), beside it what ``http_protocol`` takes, 5 s to connect, 30 s a page.
Past any of them the whole list fails with ``AdminApiError``: half a list looks like entities that were deleted. A page
of more than ``MAX_LOOP_BYTES`` is read in a thread. 64 connections at once; past that a request waits, and its time to
connect runs. Redirects are not followed and the environment's proxies are not used, since the token would go along; a
compressed answer is not asked for and refused.

Why aiohttp without httpx before it: a page of 100 entities (17 kB) took 1.08 ms of CPU with httpx alone, 0.48 ms with
httpx over aiohttp, 0.16 to 0.21 ms with aiohttp, 0.075 ms of each being
the decoding. A round over 100,000 entities is 1,000 pages.
"""

import asyncio
import time
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.http_errors import HTTP_ERRORS, http_error
from kong_eventhooks_plugin.http_protocol import use_protocol
from kong_eventhooks_plugin.settings import DEFAULTS

PAGE_SIZE = DEFAULTS.admin_page_size
MAX_PAGES = 1_000
MAX_PAGE_BYTES = 16 << 20
MAX_VALUES = 200_000
MAX_LOOP_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
PAGE_SECONDS = 30.0
CONNECTIONS = 64
READ_BUFFER = 262_144
"""Bytes that may wait unread: a page of 100 entities is there at once."""


class AdminSettings(msgspec.Struct, frozen=True):
    """Where the Admin API is, its token, and limits."""

    url: str
    token: str | None = None
    page_seconds: float = PAGE_SECONDS
    max_pages: int = MAX_PAGES
    max_page_bytes: int = MAX_PAGE_BYTES

    def __repr__(self) -> str:
        return "AdminSettings(...)"


class Answer(NamedTuple):
    """The JSON object under a path; ``server`` is the header ``Server`` that came with it, "" where none did."""

    document: dict[str, Any]
    server: str


class AdminPage(NamedTuple):
    """One page of a list; ``offset`` asks for the next one, None: this was the last."""

    entities: list[dict[str, Any]]
    offset: str | None


class AdminClient:
    """The client of one Kong node. Close it, or use it with ``async with``."""

    def __init__(self, settings: AdminSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._origin = _origin(settings.url)
        """What errors name: the URL itself may hold a password."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object under a path (``/status``); raises ``AdminApiError``.

        The path is relative to the Admin API's URL; what names an entity in it is percent-encoded by the caller.
        """
        return (await self.answer(path, query)).document

    async def answer(self, path: str, query: dict[str, str] | None = None) -> Answer:
        """Return the same with the header ``Server``."""
        try:
            async with asyncio.timeout(self._settings.page_seconds):
                body, server = await self._body(path, query or {})
        except aiohttp.ConnectionTimeoutError as error:
            raise AdminApiError(f"{self._origin}{path}: no connection within {CONNECT_SECONDS:g} s") from error
        except TimeoutError as error:
            raise AdminApiError(f"{self._origin}{path}: no answer within {self._settings.page_seconds:g} s") from error
        except HTTP_ERRORS as error:
            raise AdminApiError(f"{self._origin}{path}: {http_error(error, 'Kong')}") from error
        try:
            document = await _read(body)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise AdminApiError(f"{path}: the answer is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise AdminApiError(f"{path}: the answer is not an object")
        return Answer(document, server)

    async def page(self, path: str, size: int = PAGE_SIZE, offset: str | None = None) -> AdminPage:
        """Return one page of a list (``/plugins``) of up to ``size`` (1 to 1,000) entities; raises ``AdminApiError``.

        ``offset`` is the page's before, None for the first one. It is sent back rather than the page's ``next``: that
        one lacks the prefix of an API behind a route.
        """
        document = await self.get(path, {"size": str(size), **({"offset": offset} if offset is not None else {})})
        following = document.get("offset")
        if following is not None and not isinstance(following, str):
            raise AdminApiError(f"{path}: a page's offset is not a string")
        return AdminPage(_data(document, path), following)

    async def entities(self, path: str, size: int = PAGE_SIZE, pause_factor: float = 0.0) -> list[dict[str, Any]]:
        """Return every entity of a list, ``size`` a page; raises ``AdminApiError``.

        Between two pages there is a pause of the page's own time times ``pause_factor``.
        """
        found: list[dict[str, Any]] = []
        offset: str | None = None
        for _ in range(self._settings.max_pages):
            began = time.monotonic()
            page = await self.page(path, size, offset)
            found.extend(page.entities)
            offset = page.offset
            if offset is None:
                return found
            await asyncio.sleep((time.monotonic() - began) * pause_factor)
        raise AdminApiError(f"{path}: more than {self._settings.max_pages:,} pages")

    async def _body(self, path: str, query: dict[str, str]) -> tuple[bytes, str]:
        url = URL(self._settings.url.rstrip("/") + path).update_query(query)
        session = self._session or self._open()
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise AdminApiError(f"{path}: answered {answer.status}", answer.status)
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise AdminApiError(f"{path}: the answer is compressed")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > self._settings.max_page_bytes:
                    raise AdminApiError(f"{path}: a page is larger than {self._settings.max_page_bytes:,} bytes")
            return bytes(body), answer.headers.get("Server", "")

    def _open(self) -> aiohttp.ClientSession:
        """Make the session: it belongs to the running loop, so it cannot be made before."""
        headers = {"Accept-Encoding": "identity"}
        if self._settings.token:
            headers["Kong-Admin-Token"] = self._settings.token
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        use_protocol(connector)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            # get() bounds the whole; an infinite threshold keeps aiohttp from rounding times up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, ceil_threshold=float("inf")),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER,
        )
        return self._session


async def _read(body: bytes) -> Any:
    if len(body) <= MAX_LOOP_BYTES:
        return bounded_json.decode(body, MAX_VALUES)
    return await asyncio.to_thread(bounded_json.decode, body, MAX_VALUES)


def _data(page: dict[str, Any], path: str) -> list[dict[str, Any]]:
    data = page.get("data")
    if data == {}:
        # Kong's encoder writes some empty lists as objects.
        return []
    if not isinstance(data, list) or not all(isinstance(entity, dict) for entity in data):
        raise AdminApiError(f"{path}: a page has no list of entities under data")
    return data


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # the first call says so
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
