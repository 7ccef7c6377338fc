"""SQLite files: creating, opening and migrating them, and replacing damaged ones."""
