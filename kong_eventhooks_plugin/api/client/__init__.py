"""A small client of our own REST API, for the command line."""
