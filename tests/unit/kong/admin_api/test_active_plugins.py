"""Which instance of a plugin Kong runs for a request: its precedence, against a plain reading of the rule."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.kong.admin_api import active_plugins
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ORDER, ActivePlugins, Shape
from tests.support.recorded_logs import plugin

FULL = {"service": "s", "route": "r", "consumer": "c"}


def label(name: str, config: Mapping[str, Any]) -> str | None:
    return None if name == "silent" else f"{name}:{config.get('tag', '')}"


def index(*plugins: dict[str, Any], workspace: str = "default") -> ActivePlugins[str]:
    made = ActivePlugins(label)
    replace(made, *plugins, workspace=workspace)
    return made


def replace(made: ActivePlugins[Any], *plugins: dict[str, Any], workspace: str = "default") -> None:
    made.replace_list(made.listed(plugins), workspace)


def on(made: ActivePlugins[str], groups: list[str] | None = None, **ids: str | None) -> tuple[str, ...] | None:
    where = dict.fromkeys(("service", "route", "consumer")) | ids
    return made.on("default", where["service"], where["route"], where["consumer"], groups)


# Kong 3.9, runloop/plugins_iterator.lua, lookup_cfg: the order in its comment.
OF_KONG: list[dict[str, str]] = [
    {"route": "r", "service": "s", "consumer": "c"},
    {"route": "r", "consumer": "c"},
    {"service": "s", "consumer": "c"},
    {"route": "r", "service": "s"},
    {"consumer": "c"},
    {"route": "r"},
    {"service": "s"},
    {},
]


class TestPrecedence:
    @pytest.mark.parametrize("first", range(len(OF_KONG)))
    def test_the_most_specific_of_kongs_eight_runs(self, first: int) -> None:
        plugins = [plugin("p", tag=str(rank), **scope) for rank, scope in enumerate(OF_KONG)][first:]
        for order in (plugins, plugins[::-1]):
            assert on(index(*order), **FULL) == (f"p:{first}",)

    @pytest.mark.parametrize("field", FULL)
    def test_an_instance_elsewhere_does_not(self, field: str) -> None:
        assert on(index(plugin("p", **{field: "other"})), **FULL) == ()
        assert on(index(plugin("p", **{field: FULL[field]})), **(FULL | {field: None})) == ()

    def test_each_plugin_for_itself(self) -> None:
        made = index(plugin("a"), plugin("b", route="r"), plugin("a", service="s", tag="s"), plugin("c", route="x"))
        assert on(made, **FULL) == ("a:s", "b:")

    def test_a_disabled_instance_leaves_the_less_specific_one(self) -> None:
        assert on(index(plugin("p", tag="all"), plugin("p", tag="r", route="r", enabled=False)), **FULL) == ("p:all",)

    def test_what_answers_nothing_is_left_out(self) -> None:
        assert on(index(plugin("silent"), plugin("p")), **FULL) == ("p:",)


class TestGroups:
    """Enterprise's, from its documentation ("Plugin precedence")."""

    ORDER = (
        {"consumer": "c", "route": "r", "service": "s"},
        {"consumer_group": "g", "service": "s", "route": "r"},
        {"consumer": "c", "route": "r"},
        {"consumer": "c", "service": "s"},
        {"consumer_group": "g", "route": "r"},
        {"consumer_group": "g", "service": "s"},
        {"route": "r", "service": "s"},
        {"consumer": "c"},
        {"consumer_group": "g"},
        {"route": "r"},
        {"service": "s"},
        {},
    )

    @pytest.mark.parametrize("first", range(12))
    def test_the_documented_order(self, first: int) -> None:
        plugins = [plugin("p", tag=str(rank), **scope) for rank, scope in enumerate(self.ORDER)][first:]
        assert on(index(*plugins), ["g"], **FULL) == (f"p:{first}",)

    def test_where_the_groups_are_unknown_all_that_may_run_are_returned(self) -> None:
        made = index(
            plugin("p", tag="gold", consumer_group="gold"),
            plugin("p", tag="silver", consumer_group="silver", route="r"),
            plugin("p", tag="elsewhere", consumer_group="silver", route="x"),
            plugin("p", tag="all"),
            plugin("q", tag="c", consumer="c"),
            plugin("q", tag="gold", consumer_group="gold"),
        )
        got = on(made, **FULL)
        assert got is not None
        assert sorted(got) == ["p:all", "p:gold", "p:silver", "q:c"]
        assert on(made, [], **FULL) == ("p:all", "q:c")
        assert on(made, ["gold"], **FULL) == ("p:gold", "q:c")

    def test_a_client_without_a_consumer_may_be_in_one(self) -> None:
        made = index(plugin("p", tag="g", consumer_group="g"), plugin("p", tag="all"))
        assert on(made, service="s", route="r") == ("p:g", "p:all")
        assert on(made, [], service="s", route="r") == ("p:all",)
        assert on(made, ["g"], service="s", route="r") == ("p:g",)


class TestKnowing:
    def test_nothing_is_known_before_the_first_list(self) -> None:
        assert on(ActivePlugins(label), **FULL) is None

    def test_nothing_is_known_of_another_workspace(self) -> None:
        made = index(plugin("p"))
        assert made.on(None, "s", "r", None) == ("p:",)  # an old Kong's log does not name it
        assert made.on("other", "s", "r", None) is None
        replace(made, plugin("q"), workspace="other")
        assert made.on("other", "s", "r", None) == ("q:",)
        assert on(made, **FULL) == ("p:",)
        assert made.every() == {"p:", "q:"}

    def test_a_new_list_replaces_the_old_one(self) -> None:
        made = index(plugin("p"))
        assert on(made, **FULL) == ("p:",)
        replace(made)
        assert on(made, **FULL) == ()

    def test_it_can_be_dropped(self) -> None:
        made = index(plugin("p"))
        made.forget()
        assert on(made, **FULL) is None
        assert made.every() == frozenset()

    def test_listeners_are_called_for_what_is_new_and_only_then(self) -> None:
        made, heard = ActivePlugins(label), []
        made.on_change(lambda: heard.append(made.every()))
        replace(made)
        replace(made, plugin("p"))
        replace(made, plugin("p", route="r"), plugin("p"), plugin("silent"))  # elsewhere too, but nothing new
        replace(made, plugin("p", tag="x"))
        made.forget()
        made.forget()
        assert heard == [frozenset(), {"p:"}, {"p:x"}, frozenset()]

    def test_equal_instances_are_kept_once(self) -> None:
        made = ActivePlugins(lambda name, config: (name, config["hour"]))
        replace(made, *(plugin("p", hour=1000 + 1, route=str(number)) for number in range(3)))
        one, two = made.on("default", None, "1", None), made.on("default", None, "2", None)
        assert one is not None
        assert two is not None
        assert one[0] is two[0]

    def test_results_are_cached_up_to_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(active_plugins, "REMEMBERED", 3)
        made = index(plugin("p", consumer="c3"), plugin("q"))
        for number in range(9):
            expected = ("p:", "q:") if number == 3 else ("q:",)
            assert on(made, consumer=f"c{number}") == expected
            assert len(made._cache) <= 3

    def test_consumers_are_not_cached_where_they_make_no_difference(self) -> None:
        made = index(plugin("p", route="r"))
        for number in range(9):
            assert on(made, consumer=f"c{number}", route="r") == ("p:",)
        assert len(made._cache) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"name": 7},
        {"name": "p", "route": {"name": "r"}},  # not an id: taken as none it would be in force everywhere
        {"name": "p", "route": "r"},
        {"name": "p", "consumer": {"id": "c"}, "consumer_group": {"id": "g"}},
    ],
)
def test_an_odd_entry_is_passed_over(odd: dict[str, Any]) -> None:
    assert on(index(odd, plugin("q")), **FULL) == ("q:",)


@pytest.mark.parametrize(
    ("protocols", "runs"),
    [(["http", "tcp"], True), (["grpcs"], True), (["tcp", "tls"], False), ([], True), (None, True), ([{}], False)],
)
def test_an_instance_for_streams_alone_runs_for_no_request(protocols: Any, runs: bool) -> None:
    assert on(index(plugin("p") | {"protocols": protocols}), **FULL) == (("p:",) if runs else ())


def test_an_odd_config_is_none() -> None:
    assert on(index(plugin("p") | {"config": None}), **FULL) == ("p:",)


ids = st.sampled_from([None, "1", "2"])
scopes = st.tuples(ids, ids, ids)


@given(st.lists(st.tuples(st.sampled_from("ab"), scopes), max_size=12), scopes)
def test_against_the_plain_rule(instances: list[tuple[str, tuple[str | None, ...]]], request: Any) -> None:
    fields = ("route", "service", "consumer")
    listed = {(name, scope): f"{name}:{number}" for number, (name, scope) in enumerate(instances)}
    made = index(
        *(
            plugin(name, tag=said[2:], **{field: key for field, key in zip(fields, scope, strict=True) if key})
            for (name, scope), said in listed.items()
        )
    )
    best = {}
    for (name, scope), said in listed.items():
        if all(key is None or key == asked for key, asked in zip(scope, request, strict=True)):
            rank = ORDER.index(Shape(*(key is not None for key in scope)))
            best[name] = min(best.get(name, (99, "")), (rank, said))
    got = made.on("default", request[1], request[0], request[2])
    assert sorted(got or ()) == sorted(said for _, said in best.values())


def test_every_shape_that_kong_has_is_in_the_order_once() -> None:
    shapes = [Shape(*bits) for bits in itertools.product((False, True), repeat=4)]
    assert sorted(ORDER) == sorted(shape for shape in shapes if not (shape.consumer and shape.group))
