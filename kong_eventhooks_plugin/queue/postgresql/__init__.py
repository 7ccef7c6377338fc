"""The durable queue in PostgreSQL, shared by nodes.

The modules, from the outside in (each imports only those below it):

- ``engine``: ``PostgresQueue``, the contract's methods.
- ``group_commit``: offers, settlements and claims that wait share the next transaction (``batch``).
- ``write``: such a batch as one call of a function in the store, a transaction by itself; ``settling`` for its part.
- ``accept``, ``leases``, ``retention``, ``small_tables``: what operations do inside a transaction of several steps.
- ``taking``: what is leased to the delivering side as it is accepted.
- ``horizon``: up to which number every event is there.
- ``reads``: everything that only reads, on connections of its own.
- ``lane``: a connection that writes: transactions one after another, repeated where that is right.
- ``transaction``: what one transaction knows and counts.
- ``schema``: creates and migrates the schema.
- ``connection``: where the store is, and connections to it.
- ``errors``: what a failure is, and what it says.
- ``statements``, ``queries.sql``, ``migrations/``: all SQL.

What nodes that write at the same time may rely on (READ COMMITTED throughout, so every statement sees what was
committed before it):

- An event is one: its id is unique, and a batch that finds at its INSERT that another node was faster begins again.
- on_change and snooze are decided by whoever holds the slot's row; rows are locked in one order (``lock_slots``).
- Limits are exact: far from them nodes accept side by side, near them one after the other (``transaction``).
- Counters are a row for each writer, summed when read: nobody waits for another's.
- A lease names its writer, a row of ``writers``: this opening of the store by this process. Whoever lost one settles
  nothing.
- Locks are taken in this order: deliveries (event, hook), the advisory lock, slots, events (id). What only cleans up
  skips what is locked. Should two nodes lock each other out all the same, PostgreSQL ends one, which begins again.
- A store that has lost commits (an older backup, a failover) is noticed with each new connection and by each batch of a
  spool: leases whose end it has lost are due again, and it takes nothing of a spool before what it has lost of it.
- After a connection that broke in a COMMIT or a call, the writer's row says whether that was committed (``lane``).
  What a call answered is found by the transaction that wrote the rows: the writer's row has the same (xmin).

Time is the database's: nodes' clocks differ, and a lease that one node takes is judged by another. What a node plans by
its own clock (``Settlement.due_at``) and what it is told to plan by (``Work.due_at``) is converted at the border.
"""

from kong_eventhooks_plugin.queue.postgresql.engine import PostgresQueue

__all__ = ["PostgresQueue"]
