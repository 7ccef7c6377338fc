"""The sources that are read from a request's log."""
