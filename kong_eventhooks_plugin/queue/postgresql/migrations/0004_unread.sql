-- Version 4: the requests before a delivery whose logs were not read (dispatch.quiet_flood).

ALTER TABLE deliveries ADD COLUMN suppressed_unread bigint NOT NULL DEFAULT 0;
