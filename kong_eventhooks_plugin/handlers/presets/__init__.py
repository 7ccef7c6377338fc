"""What ``config.preset`` makes of an event for a receiver that wants a form of its own, and what its answer means.

Pure. A receiver's limits and where they are documented stand at the head of its file. Past a limit a text is cut, which
shows as ``...``; no event is refused for its length.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from kong_eventhooks_plugin.handlers.presets import cloudevents, opsgenie, pagerduty, slack, teams
from kong_eventhooks_plugin.handlers.presets.message import Message, Rendered


class Preset(NamedTuple):
    """``render`` makes the request. ``final`` are statuses after which nothing is sent again.

    ``failed`` says of a 2xx answer's body whether it is an error all the same. ``pings``: whether a ping may be sent;
    to the others it would be an alarm.
    """

    render: Callable[[Message], Rendered]
    final: frozenset[int] = frozenset()
    failed: Callable[[bytes], bool] = lambda _: False
    pings: bool = True


PRESETS: Final[Mapping[str, Preset]] = {
    "slack": Preset(slack.render, slack.FINAL),
    "teams": Preset(teams.render, teams.FINAL, teams.failed),
    "pagerduty": Preset(pagerduty.render, pagerduty.FINAL, pings=False),
    "opsgenie": Preset(opsgenie.render, opsgenie.FINAL, pings=False),
    "cloudevents": Preset(cloudevents.structured, cloudevents.FINAL),
    "cloudevents-binary": Preset(cloudevents.binary, cloudevents.FINAL),
}
