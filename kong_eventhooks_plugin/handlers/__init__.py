"""From an event to the world, and what came of it."""
