-- Version 5: the requests before a delivery whose logs were not read (dispatch.quiet_flood).

ALTER TABLE deliveries ADD COLUMN suppressed_unread INTEGER NOT NULL DEFAULT 0;
