-- Version 4: what was sent at an attempt, and the headers of its answer.

ALTER TABLE attempts ADD COLUMN exchange BLOB;  -- MessagePack (queue.exchange_record); NULL: not kept
