"""From the queue to the handlers: the only place that retries."""
