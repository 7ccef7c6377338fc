"""A published event is read in one step, and is what the long way makes of it."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest.bodies import from_json
from kong_eventhooks_plugin.api.rest.requests import NewEvent, ShallowEvent, new_event, read_new_event
from kong_eventhooks_plugin.errors import BadArgument, ValidationError
from kong_eventhooks_plugin.hooks.validation.json_values import LONGEST_SHALLOW, json_error

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


def _body(data: str) -> bytes:
    return f'{{"event":"a","data":{data}}}'.encode("utf-8", "surrogatepass")


OBJECTS = st.dictionaries(
    st.sampled_from(["event", "data", "key", "keys"]), VALUES | st.dictionaries(st.text(), VALUES)
)


@given(OBJECTS.map(lambda given: json.dumps(given).encode()) | st.binary(max_size=40))
@example(b'{"event":"a","event":"b"}')
@example(b'{"event":"a","data":{"a":1},"data":null,"key":"\\u0000"}')
@example(b'{"event":"a","data":%b1%b}' % (b'{"a":' * 5_000, b"}" * 5_000))
@example(b'{"event":"a","data":{"a":"%b"}}' % (b"x" * 30_000))
def test_it_is_what_the_long_way_makes_of_it(body: bytes) -> None:
    def read(short: bool) -> NewEvent | str:
        try:
            event = read_new_event(body) if short else new_event(from_json(body))
        except (BadArgument, ValidationError) as error:
            return repr(error)
        return NewEvent(event.event, event.data, event.key)

    assert repr(read(True)) == repr(read(False))


@given(st.dictionaries(st.text(max_size=3), VALUES).map(lambda data: _body(json.dumps(data, ensure_ascii=False))))
@example(_body('{"a":9223372036854775807,"b":-9223372036854775808}'))
@example(_body('{"a":9223372036854775808}'))
@example(_body('{"a":-9223372036854775809}'))
@example(_body('{"a":1e400}'))
@example(_body('{"a":NaN}'))
@example(_body('{"a":"\\u0000"}'))
@example(_body('{"a":"\0"}'))
@example(_body('{"\\ud800":1}'))
@example(_body('{"a":"\ud800"}'))
@example(_body(f'{{"a":{"[" * 40}1{"]" * 40}}}'))
@example(_body(f'{{"a":[{"[]," * ((LONGEST_SHALLOW - 40) // 3)}1]}}'))
@example(_body(f'{{"a":[{"1," * 10_000}1]}}'))
def test_what_is_read_as_shallow_is_json(body: bytes) -> None:
    try:
        event = read_new_event(body)
    except (BadArgument, ValidationError):
        return
    assert not isinstance(event, ShallowEvent) or json_error(event.data) is None


def test_what_is_published_usually_is_read_as_shallow() -> None:
    data = {"number": 1, "share": 0.5, "name": "é", "inner": {"list": [1, None, True]}}
    event = read_new_event(_body(json.dumps(data, ensure_ascii=False)))
    assert isinstance(event, ShallowEvent)
    assert event.data == data
