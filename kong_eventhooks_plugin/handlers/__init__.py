"""The handlers: each sends an event to its destination and returns the outcome."""
