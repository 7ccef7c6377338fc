"""What a hook would do with an event, without doing it."""
