"""What ``check`` warns of: values that decK or Kong changes, unknown entities, an open Admin API route."""
