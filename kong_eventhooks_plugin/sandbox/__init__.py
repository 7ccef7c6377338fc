"""User code runs apart: lambdas, templates and filters, in worker processes with limits.

``tasks`` is what can be asked and answered, ``pool`` whom to ask. Everything else runs in the worker processes alone:
``worker`` (the loop), ``walls`` (what the process may no longer do), ``lua``, ``resty``, ``jinja`` and ``filters``
(the languages). The main process never runs user code and never imports a Lua.
"""
