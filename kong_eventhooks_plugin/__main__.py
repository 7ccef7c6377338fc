"""``python -m kong_eventhooks_plugin``: the command line, where its script is not on the path."""

from kong_eventhooks_plugin.cli import main

main()
