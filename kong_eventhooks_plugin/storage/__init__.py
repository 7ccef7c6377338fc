"""SQLite files of ours: created, recognised, opened, migrated, and where their content can be found again, replaced."""
