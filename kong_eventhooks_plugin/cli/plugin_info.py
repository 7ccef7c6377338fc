"""``plugin-info``: what Kong's ``query_cmd`` reads."""

import click

from kong_eventhooks_plugin.kong.plugin_server.documents import PROTOCOLS, plugin_document
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_names
from kong_eventhooks_plugin.settings import DEFAULTS


@click.command("plugin-info")
@click.argument("name", type=click.Choice(plugin_names()))
@click.option("--socket-path", default=DEFAULTS.socket_path, show_default=True, help="Where the sidecar listens.")
@click.option("--protocol", type=click.Choice(list(PROTOCOLS)), default=DEFAULTS.protocol, show_default=True)
def command(name: str, socket_path: str, protocol: str) -> None:
    """Print what Kong's `query_cmd` reads for plugin NAME."""
    click.echo(plugin_document(name, socket_path, protocol), nl=False)
