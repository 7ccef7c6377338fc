"""Moves what an SQLite file holds into the store that nodes share.

- ``migration``: ``migrate``, all of it: what is moved when, and the counts at the end.
- ``target``: what a step does inside a transaction of the shared store.
- ``source``: the file, which stays as it is.
"""
