-- Version 6: leases are found among the unsettled: an index of their own was one more page to write for each event.

DROP INDEX deliveries_leased;
DROP INDEX deliveries_unsettled;
CREATE INDEX deliveries_unsettled ON deliveries (event, hook, lease_until, settled_at) WHERE settled_at IS NULL;
