"""A hook's URL, parsed once: its target, its user and password, the parts that may be credentials. Pure.

Limits: ``CACHED`` URLs are kept parsed; a URL over ``MAX_URL`` characters is refused.
"""

import base64
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

import httpx
import msgspec

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.address_rules import is_literal
from kong_eventhooks_plugin.handlers.host_names import MAX_LABEL, name_error
from kong_eventhooks_plugin.model.masking import without

CACHED = 1_024
MAX_URL = 8_192
BAD_IDN = f"expected a host that IDNA can encode, in parts of 1 to {MAX_LABEL} characters"
_PORTS = {"http": 80, "https": 443}
_TOKEN_SEGMENT = 16
_TOKEN_VALUE = 6


class Target(msgspec.Struct, frozen=True):
    """A URL without its user and password, which are in ``authorization``, a header's value, and without its fragment.

    ``endpoint`` is scheme, host and port for people, ``origin`` the same as it is dialled, ``host`` the header's value;
    ``path`` has the query. ``name`` is the host alone, ``literal`` whether it is an address. ``sensitive`` are the
    parts that may be credentials: password, query values, long path segments. ``shown`` is the URL without them.
    """

    shown: str
    endpoint: str
    origin: str
    host: bytes
    path: bytes
    name: str
    literal: bool
    authorization: bytes | None
    sensitive: tuple[bytes, ...]

    def path_with(self, query: str) -> bytes:
        """Return the path with more in its query."""
        path, _, own = self.path.partition(b"?")
        return b"%b?%b" % (path, b"&".join(part for part in (own, query.encode()) if part))

    def shown_with(self, query: str) -> str:
        """Return ``shown`` with more in its query."""
        if not query:
            return self.shown
        return without(self.sensitive, self.origin.encode() + self.path_with(query)).decode()


@lru_cache(CACHED)
def parse_target(url: str) -> Target:
    """Raise ``ValidationError`` (which does not quote the URL) where it is not one to post to."""
    if len(url) > MAX_URL:
        raise ValidationError({"config": {"url": f"over {MAX_URL} characters"}})
    try:
        parsed = httpx.URL(url)
        clean = parsed.copy_with(username=None, password=None, fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValidationError({"config": {"url": BAD_IDN if "IDNA" in str(error) else "not a URL"}}) from None
    if clean.scheme not in _PORTS or not clean.raw_host:
        raise ValidationError({"config": {"url": "expected http:// or https:// and a host"}})
    port = _PORTS[clean.scheme] if clean.port is None else clean.port
    if not 0 < port < 1 << 16:
        raise ValidationError({"config": {"url": "a port is 1 to 65535"}})
    name = clean.raw_host.decode("ascii")
    is_ipv6 = ":" in name
    refused = None if is_ipv6 else name_error(name)
    if refused is not None:
        raise ValidationError({"config": {"url": refused}})
    host = f"[{_name(clean)}]" if is_ipv6 else _name(clean)
    sensitive = tuple(_sensitive(parsed))
    return Target(
        shown=without(sensitive, str(clean).encode()).decode(),
        endpoint=f"{clean.scheme}://{host}:{port}",
        origin=f"{clean.scheme}://{clean.netloc.decode('ascii')}",
        host=clean.netloc,
        path=clean.raw_path,
        name=name,
        literal=is_literal(name),
        authorization=_basic(parsed),
        sensitive=sensitive,
    )


def authority(url: str) -> str:
    """Return a URL up to its path, query or fragment, which is where a template may begin."""
    start = url.find("//") + 2
    ends = [at for at in (url.find(mark, start) for mark in "/?#") if at >= 0]
    return url[: min(ends, default=len(url))]


def _name(url: httpx.URL) -> str:
    """Return the host for people. A name that IDNA cannot decode (``xn--i-7iq.ws``) may resolve all the same."""
    try:
        return url.host
    except UnicodeError:
        return url.raw_host.decode("ascii")


def _basic(url: httpx.URL) -> bytes | None:
    if not url.userinfo:
        return None
    return b"Basic " + base64.b64encode(f"{url.username}:{url.password}".encode())


def _sensitive(url: httpx.URL) -> list[bytes]:
    query = url.query.decode("ascii", "replace")
    values = [value for _, value in parse_qsl(query)] + [part.partition("=")[2] for part in query.split("&")]
    texts = [url.password, *values]
    kept = [text for text in texts if len(text) >= _TOKEN_VALUE]
    path = url.raw_path.partition(b"?")[0].decode("ascii", "replace")
    for segment in path.split("/"):
        if len(segment) >= _TOKEN_SEGMENT:
            kept += [segment, unquote(segment)]
    return [text.encode("utf-8", "replace") for text in dict.fromkeys(kept)]
