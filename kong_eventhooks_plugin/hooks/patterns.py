"""Patterns of the schema that mean the same to Kong (Lua) and to us (Python): which URLs cannot be called.

A Lua pattern has no alternatives and no groups, so a rule is as many patterns as there are ways to reach a host (with
and without a user before it) and to end it. Rules for a pattern (tests/unit/hooks/test_schema.py):

- anchors, sets of plain characters and ranges, ``*``, ``+``, ``?``; no ``%``, no backslash and no NUL;
- a dash stands only inside a set, and ``[`` there not as the first character;
- what may be a character of any language is ``_OTHER``: Lua sees its bytes.

What follows a host in a pattern holds no ``@``: that would make the host a user's name. The patterns of a host's length
stand first of those whose time grows with it.

Limit: what no pattern says is for ``validation.own_rules``: an international name, an IPv4 address in an IPv6 one.
"""

from kong_eventhooks_plugin.handlers.host_names import (
    CHARACTERS,
    LABELS,
    LENGTH,
    MAX_LABEL,
    MAX_NAME,
    METADATA,
    METADATA_NAMES,
)

URL_ERR = "expected a URL that begins with http:// or https:// and contains no spaces"
NO_HOST = "expected a host"
BAD_PORT = "expected a port from 1 to 65535"
SHORT_IPV4 = "expected an IPv4 address as four decimal numbers from 0 to 255, without a dot at the end"
BAD_IPV6 = "expected an IPv6 address between brackets"
NEVER_CALLED = "link-local, cloud metadata, multicast and unspecified addresses cannot be called"
TEMPLATE_IN_HOST = "a template may be in path and query, never in scheme, host or port"

SCHEME = "^[Hh][Tt][Tt][Pp][Ss]?://"
STRICT_URL = f"{SCHEME}[^/?# \x01-\x1f\x7f][^ \x01-\x1f\x7f]*$"
"""A URL without templates."""


def any_case(name: str) -> str:
    """Return a pattern that matches a name in any case."""
    return "".join(
        each if each.isdigit() else f"[{each.upper()}{each}]" if each.isalpha() else f"[{each}]" for each in name
    )


_OTHER = "\x80-\U0010ffff"
"""In a set: every character beyond ASCII. In UTF-8 it is a set of bytes with the range from 80 to F4."""

_STARTS = ("^[Hh][^/]*//", "^[Hh][^/]*//[^/?#]*@")
_HOST = f"[A-Za-z0-9._{_OTHER}-]*"
_BEFORE = "[^/?#@:{]*"
_REST = "[^/?#@]*"

_END = ("[/?#]", "$")
_REST_END = tuple(f"{_REST}{end}" for end in _END)
_HOST_END = (*_END, *(f":{each}" for each in _REST_END))
_NUMBER_END = tuple(f":?[0-9]*{end}" for end in _END)

_D = "[0-9][0-9]*"
_BAD_PORTS = (
    "00*", "0*[1-9][0-9][0-9][0-9][0-9][0-9][0-9]*", "0*[7-9][0-9][0-9][0-9][0-9]", "0*6[6-9][0-9][0-9][0-9]",
    "0*65[6-9][0-9][0-9]", "0*655[4-9][0-9]", "0*6553[6-9]",
)  # fmt: skip
_SHORT_IPV4 = (
    _D, f"{_D}[.]{_D}", f"{_D}[.]{_D}[.]{_D}", f"{_D}[.]{_D}[.]{_D}[.]{_D}[.][0-9.]*",
    f"[0-9.]*[A-Za-z_{_OTHER}-]{_BEFORE}[.]{_D}[.]?",
    *(f"{before}0[Xx][0-9A-Fa-f]*[.]?" for before in ("", f"{_HOST}[.]")),
    *(f"{before}0[0-9][0-9.]*" for before in ("", "[0-9.]*[.]")),
    *(f"[0-9.]*{octet}[0-9.]*" for octet in ("[1-9][0-9][0-9][0-9]", "[3-9][0-9][0-9]", "2[6-9][0-9]", "25[6-9]")),
)  # fmt: skip
"""A host whose last part is a number is an IPv4 address, as browsers and resolvers read it."""

_NEVER_IPV4 = tuple(
    f"{address}[.]?"
    for address in (
        f"169[.]254[.]{_D}[.]{_D}", "100[.]100[.]100[.]200", "168[.]63[.]129[.]16", "192[.]0[.]0[.]192",
        *(f"{first}[.]{_D}[.]{_D}[.]{_D}" for first in ("0", "22[4-9]", "2[34][0-9]", "25[0-5]")),
    )
)  # fmt: skip
_HEX = "[0-9A-Fa-f]"
_A9FE = any_case("a9fe")
_NEVER_IPV6 = tuple(
    # The slash keeps Python from taking "[[" for a set inside a set; there it is an empty host, refused before.
    f"[/[]{address}"
    for address in (
        f"[Ff][Ee][89ABab]{_HEX}:",
        f"[Ff][Ff]{_HEX}{_HEX}:",
        f"{_HEX}*:[0-9A-Fa-f:.]*[$-&]",  # a zone
        f"{any_case('fd00')}:0*{any_case('ec2')}:",
        *(
            f"{address}[^0-9A-Fa-f:.]"
            for address in (
                "0*:[0:]*",
                f"{any_case('fd20')}:0*{any_case('ce')}:[0:]*:0*254",
                f"{any_case('fd00')}:0*42:[0:]*:0*42",
                f"{any_case('fd00')}:{_A9FE}:{_A9FE}:[0:]*:0*1",
                f"{any_case('fd00')}:0*100:[0:]*:0*100:0*200",
                f"[0-9A-Fa-f:]*:{_A9FE}:{_A9FE}",
                "[0-9A-Fa-f:]*:169[.]254[.]169[.]254",
            )
        ),
    )
)
_NO_IPV6 = (
    "[/[][0-9A-Fa-f.]*[Z-^]",  # From Z to ^ there is the closing bracket, and no letter of an address.
    "[/[][0-9A-Fa-f:.]*[G-Zg-z]",
    "[/[][0-9A-Fa-f:.]*[Z-^][^:/?#]",
    *(f"[/[][0-9A-Fa-f:.]*{end}" for end in _END),
)
_BAD_LABELS = (
    "[.-]",
    f"{_BEFORE}[.][.-]",
    f"{_BEFORE}[-][.:]",
    "[A-Za-z0-9._-]*" + "[0-9A-z-]" * (MAX_LABEL + 1),
)

REFUSED_URLS: tuple[dict[str, str], ...] = tuple(
    {"pattern": f"{start}{inside}{end}", "err": error}
    for error, insides, ends in (
        (NO_HOST, [""], _HOST_END),
        (BAD_PORT, [f"{_REST}:{port}" for port in _BAD_PORTS], _END),
        (BAD_PORT, [f"{_HOST}:[0-9]*[^0-9/?#@{{]"], _REST_END),
        (LENGTH, ["[.0-9A-z-]" * MAX_NAME + "[.]?[0-9A-z-]"], _REST_END),
        (NEVER_CALLED, _NEVER_IPV4, _NUMBER_END),
        (NEVER_CALLED, _NEVER_IPV6, [""]),
        (BAD_IPV6, _NO_IPV6, [""]),
        (SHORT_IPV4, _SHORT_IPV4, _NUMBER_END),
        (SHORT_IPV4, ["[0-9][0-9.]*[.]"], _HOST_END),
        (METADATA, [f"{any_case(name)}[.]?" for name in METADATA_NAMES], _HOST_END),
        (TEMPLATE_IN_HOST, [f"{_REST}[{{]"], _REST_END),
        (CHARACTERS, [f"{_HOST}[^[A-Za-z0-9._:/?#@{{{_OTHER}-]"], _REST_END),
        (LABELS, _BAD_LABELS, _REST_END),
        (LABELS, [f"{_BEFORE}[-]"], _END),
    )
    for start in _STARTS
    for inside in insides
    for end in ends
)
"""Of a host and a port that cannot be called, with the texts for them."""
