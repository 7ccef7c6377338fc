"""Lists entities of Kong's Admin API, page by page.

Limits: 100 entities a page (at 1,000, Kong's proxied p99 rose from 3 to 130 ms), 1,000 pages a list, 16 MiB a
page, 5 s to connect, 30 s a page. Past any of them the whole list fails with ``AdminApiError``: half a list looks
like entities that were deleted. Redirects are not followed and the environment's proxies are not used, since the token
would go along.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from kong_eventhooks_plugin.errors import AdminApiError

PAGE_SIZE = 100
MAX_PAGES = 1_000
MAX_PAGE_BYTES = 16 << 20
CONNECT_SECONDS = 5.0
PAGE_SECONDS = 30.0


class AdminSettings(msgspec.Struct, frozen=True):
    """Where the Admin API is. ``token`` goes into the header ``token_header``; ``verify`` is for https."""

    url: str
    token: str | None = None
    token_header: str = "Kong-Admin-Token"  # noqa: S105 - a header's name
    verify: bool = True
    connect_seconds: float = CONNECT_SECONDS
    page_seconds: float = PAGE_SECONDS
    max_pages: int = MAX_PAGES
    max_page_bytes: int = MAX_PAGE_BYTES

    def __repr__(self) -> str:
        return "AdminSettings(...)"


class AdminClient:
    """Asks one Kong node's Admin API. Close it, or use it with ``async with``."""

    def __init__(self, settings: AdminSettings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            headers={settings.token_header: settings.token} if settings.token else {},
            timeout=httpx.Timeout(settings.page_seconds, connect=settings.connect_seconds),
            verify=settings.verify,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def entities(self, path: str, size: int = PAGE_SIZE) -> list[dict[str, Any]]:
        """Return every entity of a list (``/plugins``), ``size`` (1 to 1,000) a page; raises ``AdminApiError``.

        A page's ``offset`` is sent back, not its ``next``: that one lacks the prefix of an API behind a route.
        """
        found: list[dict[str, Any]] = []
        offset: str | None = None
        for _ in range(self._settings.max_pages):
            page = await self._page(path, {"size": str(size), **({"offset": offset} if offset else {})})
            found.extend(_data(page, path))
            offset = page.get("offset")
            if offset is None:
                return found
            if not isinstance(offset, str):
                raise AdminApiError(f"{path}: a page's offset is not a string")
        raise AdminApiError(f"{path}: more than {self._settings.max_pages:,} pages")

    async def _page(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        # Errors name the path alone: the URL may hold a password.
        try:
            async with asyncio.timeout(self._settings.page_seconds):
                body = await self._body(path, query)
        except TimeoutError as error:
            raise AdminApiError(f"{path}: no answer within {self._settings.page_seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AdminApiError(f"{path}: {str(error) or type(error).__name__}") from error
        try:
            page = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise AdminApiError(f"{path}: the answer is not JSON: {error}") from error
        if not isinstance(page, dict):
            raise AdminApiError(f"{path}: the answer is not an object")
        return page

    async def _body(self, path: str, query: dict[str, str]) -> bytes:
        async with self._client.stream("GET", self._settings.url.rstrip("/") + path, params=query) as answer:
            if answer.status_code != httpx.codes.OK:
                raise AdminApiError(f"{path}: answered {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > self._settings.max_page_bytes:
                    raise AdminApiError(f"{path}: a page is larger than {self._settings.max_page_bytes:,} bytes")
            return bytes(body)


def _data(page: dict[str, Any], path: str) -> list[dict[str, Any]]:
    data = page.get("data")
    if data == {}:
        # Kong's encoder writes some empty lists as objects.
        return []
    if not isinstance(data, list) or not all(isinstance(entity, dict) for entity in data):
        raise AdminApiError(f"{path}: a page has no list of entities under data")
    return data
