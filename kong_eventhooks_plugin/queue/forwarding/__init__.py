"""Accepts into a file of this node, and moves what it accepted to the store that nodes share.

- ``acceptor``: ``SpoolAcceptor``, which is offered events and runs the rest.
- ``forwarder``: moves offers, in order, and moves them again after a store that has gone back in time.
- ``spool``: the file.

An offer is accepted when it is committed to the spool, whatever the shared store does: Kong waits for no network. What
an offer leads to (which hooks fire, what is held back) is decided by the shared store, for all nodes at once, when the
offer gets there.
"""

from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor

__all__ = ["SpoolAcceptor"]
