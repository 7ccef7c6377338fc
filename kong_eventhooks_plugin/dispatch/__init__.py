"""From an event to the hooks that it matches, and into the queue."""
