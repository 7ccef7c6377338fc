"""kong-admin.yml for a real Kong: filled in, or put into its database; and the recorded list of requests."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = ROOT / "tests" / "captures" / "admin-crud.requests.txt"
KEY = "0f6b1de2c7a94b3e8d5f60718293a4b5"
WITH_KEY = {"apikey": KEY}
OPERATORS = "kong-operators"


def filled_in(admin_port: int, sidecar_port: int) -> dict[str, Any]:
    """Return the file's entities as Kong is to have them."""
    text = (ROOT / "kong-admin.yml").read_text()
    for placeholder, value in (
        ('${{ env "DECK_KONG_ADMIN_KEY" }}', KEY),
        ("127.0.0.1:8001", f"127.0.0.1:{admin_port}"),
        ("127.0.0.1:8010", f"127.0.0.1:{sidecar_port}"),
    ):
        assert placeholder in text
        text = text.replace(placeholder, value)
    document: dict[str, Any] = yaml.safe_load(text)
    del document["_format_version"]
    return document


def put_into_database(document: dict[str, Any], create: Callable[[str, dict[str, Any]], None]) -> None:
    """Create the entities; ``create`` sends one to a path of the Admin API and raises where it is refused."""
    for consumer in document["consumers"]:
        _with_children(create, "/consumers", consumer, "username", {"acls": "acls", "keyauth_credentials": "key-auth"})
    for service in document["services"]:
        _with_children(create, "/services", service, "name", {"routes": "routes"})


def _with_children(
    create: Callable[[str, dict[str, Any]], None], path: str, entity: dict[str, Any], name: str, lists: dict[str, str]
) -> None:
    lists = {**lists, "plugins": "plugins"} if "plugins" in entity else lists
    create(path, {field: value for field, value in entity.items() if field not in lists})
    for field, segment in lists.items():
        for child in entity.get(field, ()):
            below = f"{path}/{entity[name]}/{segment}"
            if segment == "routes":
                # A route's own collection: /routes/NAME/plugins is where its plugins go.
                create(below, {key: value for key, value in child.items() if key != "plugins"})
                for plugin in child.get("plugins", ()):
                    create(f"/routes/{child['name']}/plugins", plugin)
            else:
                create(below, child)


class Sent(NamedTuple):
    """One request of the recorded list; the body as curl's -d makes it."""

    method: str
    path: str
    body: str | None
    headers: dict[str, str]


def recorded_list() -> Iterator[Sent]:
    """Yield the requests of the recorded list in order, as far as there are (see its first line for what ``r`` is)."""
    for line in REQUESTS.read_text().splitlines()[1:]:
        words = shlex.split(line)
        assert words[0] == "r", line
        options = dict.fromkeys(("-d", "-H"), ())
        for option, value in zip(words[3::2], words[4::2], strict=True):
            options[option] = (*options[option], value)
        headers = dict(re.split(r":\s*", header, maxsplit=1) for header in options["-H"])
        yield Sent(words[1], words[2], "&".join(options["-d"]) or None, headers)
