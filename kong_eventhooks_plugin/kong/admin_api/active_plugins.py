"""Which plugins Kong runs for a request, from what the Admin API lists under ``/plugins``.

Kong runs each plugin at most once a request, and of its enabled instances the most specific one (its
``runloop/plugins_iterator.lua``; with Enterprise's consumer groups its documentation, "Plugin precedence"): ``ORDER``.
Of an instance's protocols it counts only whether one is among ``HTTP``: with one of these Kong runs it for all of them,
and an instance for streams alone runs for no request.

The open-source edition has no groups. A request's log does not say which groups its client is in, and a client without
a consumer can be in one too (openid-connect's ``consumer_groups_claim``). Where they are not known and a plugin has
instances on groups, all that may have run are returned: what one of them does is possible then, not certain.

Of an instance only what ``read`` makes of its name and config is kept, and equal ones once: there can be 100,000,
with secrets in them.

The app lists the workspace ``default``: under Enterprise nothing is known of the others.

Limits: the results for ``REMEMBERED`` places are cached, then the cache is cleared. A list is some seconds older or
newer than what a Kong node runs; that is not visible here.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

Read = TypeVar("Read")
Reader = Callable[[str, Mapping[str, Any]], Read | None]
"""Makes of a plugin's name and config what is kept of it (hashable), None for nothing."""

DEFAULT_WORKSPACE: Final = "default"
"""The open-source edition has this workspace alone, and names it in a request's log."""

REMEMBERED: Final = 10_000

HTTP: Final = frozenset({"http", "https", "grpc", "grpcs", "ws", "wss"})
"""The protocols whose requests have a log of HTTP (Kong's ``constants.PROTOCOLS_WITH_SUBSYSTEM``)."""


class Shape(NamedTuple):
    """Which entities an instance is on."""

    route: bool = False
    service: bool = False
    consumer: bool = False
    group: bool = False


ORDER: Final = (
    Shape(route=True, service=True, consumer=True),
    Shape(route=True, service=True, group=True),
    Shape(route=True, consumer=True),
    Shape(service=True, consumer=True),
    Shape(route=True, group=True),
    Shape(service=True, group=True),
    Shape(route=True, service=True),
    Shape(consumer=True),
    Shape(group=True),
    Shape(route=True),
    Shape(service=True),
    Shape(),
)
"""The most specific first. Kong has no instance on a consumer and a group."""

_RANK: Final[Mapping[Shape, int]] = {shape: rank for rank, shape in enumerate(ORDER)}


class RequestEntities(NamedTuple):
    """The ids of a request's entities, or of those that an instance is on."""

    route: str | None = None
    service: str | None = None
    consumer: str | None = None

    def seen_by(self, shape: Shape) -> "RequestEntities":
        """Return what an instance of this shape looks at."""
        return RequestEntities(
            self.route if shape.route else None,
            self.service if shape.service else None,
            self.consumer if shape.consumer else None,
        )


class _Plugin(Generic[Read]):
    """One plugin's enabled instances in one workspace."""

    def __init__(self) -> None:
        # A shape's rank -> place -> group (None: on no group) -> the instance.
        self._ranks: dict[int, dict[RequestEntities, dict[str | None, Read]]] = {}

    def add(self, place: RequestEntities, group: str | None, read: Read) -> None:
        rank = _RANK.get(Shape(*(key is not None for key in (*place, group))))
        if rank is None:
            return
        if rank not in self._ranks:
            self._ranks[rank] = {}
            self._ranks = dict(sorted(self._ranks.items()))
        self._ranks[rank].setdefault(place, {})[group] = read

    def depends_on_consumer(self) -> bool:
        """Return whether the consumer makes a difference."""
        return any(ORDER[rank].consumer for rank in self._ranks)

    def on(self, request: RequestEntities, groups: Collection[str] | None) -> Iterator[Read]:
        """Yield the instance that runs, none, or, where that depends on unknown groups, all that may."""
        for rank, places in self._ranks.items():
            shape = ORDER[rank]
            found = places.get(request.seen_by(shape))
            if found is None:
                continue
            if not shape.group:
                yield found[None]
                return
            if groups is None:
                yield from found.values()
            elif mine := [found[group] for group in groups if group in found]:
                yield from mine
                return


class PluginList(Generic[Read]):
    """One workspace's plugins, indexed. ``every`` is what can run on any of its requests."""

    def __init__(self, plugins: Iterable[Mapping[str, Any]], read: Reader[Read]) -> None:
        unique: dict[Read, Read] = {}
        self._plugins: dict[str, _Plugin[Read]] = {}
        for plugin in plugins:
            self._add(plugin, read, unique)
        self.every = frozenset(unique)
        self._depends_on_consumer = any(plugin.depends_on_consumer() for plugin in self._plugins.values())

    def place(self, service: str | None, route: str | None, consumer: str | None) -> RequestEntities:
        """Return the ids of a request that make a difference."""
        return RequestEntities(route, service, consumer if self._depends_on_consumer else None)

    def on(self, place: RequestEntities, groups: Collection[str] | None) -> tuple[Read, ...]:
        return tuple(each for plugin in self._plugins.values() for each in plugin.on(place, groups))

    def _add(self, plugin: Mapping[str, Any], read: Reader[Read], unique: dict[Read, Read]) -> None:
        name, config = plugin.get("name"), plugin.get("config")
        if not isinstance(name, str) or plugin.get("enabled") is False or _is_for_streams(plugin.get("protocols")):
            return
        result = read(name, config if isinstance(config, dict) else {})
        if result is None:
            return
        references = [plugin.get(field) for field in ("route", "service", "consumer", "consumer_group")]
        *place, group = ids = [_id(reference) for reference in references]
        if [key is None for key in ids] != [reference is None for reference in references]:
            return  # taken for one without that reference it would be in force everywhere
        self._plugins.setdefault(name, _Plugin()).add(RequestEntities(*place), group, unique.setdefault(result, result))


class ActivePlugins(Generic[Read]):
    """The plugins on a request; knows nothing until the first list."""

    def __init__(self, read: Reader[Read]) -> None:
        self._read = read
        self._lists: dict[str, PluginList[Read]] = {}
        self._every: frozenset[Read] = frozenset()
        self._cache: dict[tuple[object, ...], tuple[Read, ...]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listed(self, plugins: Iterable[Mapping[str, Any]]) -> PluginList[Read]:
        """Index a list: two seconds of work for 100,000, which another thread can do.

        ``plugins`` are as the Admin API lists them; malformed entries are skipped.
        """
        return PluginList(plugins, self._read)

    def replace_list(self, listed: PluginList[Read], workspace: str = DEFAULT_WORKSPACE) -> None:
        """Replace what is known of a workspace.

        Listeners are called where ``every`` changes.
        """
        before = self._lists.get(workspace)
        self._lists[workspace] = listed
        self._cache = {}
        if before is None or before.every != listed.every:
            self._set_every()

    def forget(self) -> None:
        """Know nothing, as before the first list: Kong has been unreachable for too long."""
        known, self._lists, self._cache = self._lists, {}, {}
        if known:
            self._set_every()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after each change of ``every``."""
        self._listeners.append(listener)

    def every(self) -> frozenset[Read]:
        return self._every

    def on(
        self,
        workspace: str | None,
        service: str | None,
        route: str | None,
        consumer: str | None,
        groups: Collection[str] | None = None,
    ) -> tuple[Read, ...] | None:
        """Return what runs on a request of these ids; None where its workspace is unknown.

        ``workspace`` is a name; ``groups`` are the ids of the client's groups, None: unknown.
        """
        name = DEFAULT_WORKSPACE if workspace is None else workspace
        listed = self._lists.get(name)
        if listed is None:
            return None
        place = listed.place(service, route, consumer)
        key = (name, place, None if groups is None else tuple(groups))
        found = self._cache.get(key)
        if found is None:
            found = listed.on(place, groups)
            if len(self._cache) >= REMEMBERED:
                self._cache.clear()
            self._cache[key] = found
        return found

    def _set_every(self) -> None:
        self._every = frozenset().union(*(each.every for each in self._lists.values()))
        for listener in self._listeners:
            listener()


def _is_for_streams(protocols: object) -> bool:
    return isinstance(protocols, list) and bool(protocols) and HTTP.isdisjoint(map(str, protocols))


def _id(reference: object) -> str | None:
    found = reference.get("id") if isinstance(reference, dict) else None
    return found if isinstance(found, str) else None
