"""The durable queue in one SQLite file.

How it is put together, from the outside in:

- ``engine``: ``SqliteQueue``, the contract's methods and nothing else.
- ``cycle``: group commit. Everything that writes waits for the next transaction and is answered after its commit.
- ``accept``, ``leases``, ``settling``, ``retention``, ``keeping``: what the operations do inside a transaction.
- ``books``, ``filters``: what is counted and remembered of the file between transactions, so that a limit is a
  comparison and not a query.
- ``reads``: everything that only reads, on a connection of its own, in a thread of its own.
- ``file``: open, check, create, migrate. ``thread``: one thread that runs calls for the loop.
- ``statements``, ``queries.sql``, ``migrations/``: all SQL.

Which thread does what: statements of a transaction run on the event loop's thread, a few microseconds each. A
second thread would have to take the interpreter's lock back after every row, and wait up to 5 ms for it while
the loop is busy. What may wait for something else than the processor (a lock that another process holds, the
commit's fsync, a checkpoint, a sweep's big statements) runs in the store's thread. The connection is used by one
of the two at a time, which ``cycle`` sees to.
"""

from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue

__all__ = ["SqliteQueue"]
