"""The source ``event-hooks``: what happened to hooks, their deliveries and the queue, as events for hooks."""
