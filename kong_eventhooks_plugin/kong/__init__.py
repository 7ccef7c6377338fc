"""What speaks with Kong: the plugin socket, its supervisor, the Admin API. Imports nothing itself."""
