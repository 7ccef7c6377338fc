"""The process that owns the plugin socket and starts the workers. Imports next to nothing."""
