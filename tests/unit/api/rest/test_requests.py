"""A published event is read in one step, and is what the long way makes of it."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest.bodies import from_json
from kong_eventhooks_plugin.api.rest.requests import NewEvent, new_event, read_new_event
from kong_eventhooks_plugin.errors import BadArgument, ValidationError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)
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
