"""The table of PDK functions, against what a real Kong answered in each phase."""

import csv
from collections import defaultdict

import pytest

from kong_eventhooks_plugin.errors import PhaseError
from kong_eventhooks_plugin.kong.plugin_server.pdk import FUNCTIONS, Phase, pdk_request
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from tests.support.recordings import CAPTURES

PHASES: tuple[Phase, ...] = ("response", "log")


def matrix() -> dict[tuple[str, str], set[str]]:
    """Return (phase, function) -> outcomes, over all the arguments that were tried."""
    found = defaultdict(set)
    with (CAPTURES / "pdk-matrix-protobuf.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            found[row["phase"], row["function"]].add(row["outcome"])
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_the_table_allows_kong_answered(name: str) -> None:
    outcomes = matrix()
    function = FUNCTIONS[name]
    assert function.phases
    family = "kong.log.notice" if function.argument == "ListValue" else name  # one level was tried for all
    for phase in function.phases:
        assert outcomes[phase, family] == {"answered"}, phase


@pytest.mark.parametrize("phase", PHASES)
def test_what_kong_refused_cannot_be_asked(phase: Phase) -> None:
    refused = {name for (where, name), outcomes in matrix().items() if where == phase and "refused" in outcomes}
    assert len(refused) > 10
    for name in refused:
        with pytest.raises(PhaseError):
            pdk_request(phase, name)


@pytest.mark.parametrize("name", ["kong.service.response.get_raw_body", "kong.service.response.get_status"])
def test_what_answers_in_log_by_luck_cannot_be_asked_there(name: str) -> None:
    with pytest.raises(PhaseError):
        pdk_request("log", name)
    assert pdk_request("response", name)


def test_an_unknown_function_or_a_wrong_argument() -> None:
    for name, args in [
        ("kong.request.get_start_time", ()),
        ("kong.response.get_status", (1,)),
        ("kong.request.get_header", ()),
        ("kong.request.get_header", (5,)),
        ("kong.request.get_header", ("a", "b")),
    ]:
        with pytest.raises(PhaseError):
            pdk_request("log", name, *args)


def test_a_question_is_two_frames() -> None:
    question = pdk_request("log", "kong.log.serialize")
    assert question.frames == encode_frame(b"kong.log.serialize") + encode_frame(b"")
    assert (question.name, question.args, question.result) == ("kong.log.serialize", (), "ByteString")
    line = pdk_request("log", "kong.log.err", "what\nwas")
    assert line.frames == encode_frame(b"kong.log.err") + encode_frame(b"\x0a\x0a\x1a\x08what\nwas")
    assert "kong.log.err" in repr(line)
    variable = pdk_request("response", "kong.nginx.get_var", "upstream_uri")
    assert variable.frames == encode_frame(b"kong.nginx.get_var") + encode_frame(b"\x0a\x0cupstream_uri")


@pytest.mark.parametrize("name", ["kong.nginx.get_var", "kong.request.get_method", "kong.client.get_forwarded_ip"])
def test_what_leaks_a_request_in_log_cannot_be_asked_there(name: str) -> None:
    """There Kong raises, and a later request's response phase gets this one's saved data."""
    with pytest.raises(PhaseError):
        pdk_request("log", name, *(["upstream_uri"] if "get_var" in name else []))
