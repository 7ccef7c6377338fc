"""The source ``crud``: changes of Kong's entities."""
