"""Runs user code apart: lambdas, templates and filters, in worker processes with limits.

``tasks`` has the tasks and their results, ``pool`` runs them. Everything else runs in the worker processes alone:
``worker`` (the loop), ``isolation`` (what the process may no longer do), ``lua``, ``resty``, ``jinja`` and ``filters``
(the languages). The main process never runs user code and never imports a Lua.
"""
