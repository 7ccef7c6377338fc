"""A group of commands. It imports next to nothing: ``plugin-info`` has to be fast."""

from typing import Final

import click

from kong_eventhooks_plugin.suggestions import did_you_mean

ELSEWHERE: Final = {"preview": "try NAME", "replay": "deliveries replay"}
"""What REST and the console have by another name or in another place."""


class Group(click.Group):
    """A group of commands, which says what a wrong name was probably meant for."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            name = args[0]
            meant = did_you_mean(name, self.list_commands(ctx))
            if name in ELSEWHERE:
                meant = f"; it is 'kong-event-hooks {ELSEWHERE[name]}'"
            raise click.UsageError(error.message.removesuffix(".") + meant, ctx) from error
