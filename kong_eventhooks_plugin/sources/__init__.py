"""From an observation to events, one file a source, and the catalogue of them."""
