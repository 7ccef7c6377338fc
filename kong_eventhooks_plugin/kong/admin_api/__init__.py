"""Kong's Admin API: its client, paths and schemas, the secrets in an entity, the active plugins."""
