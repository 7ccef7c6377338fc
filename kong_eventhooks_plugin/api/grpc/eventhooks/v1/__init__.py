"""Generated modules of proto/eventhooks/v1: scripts/generate_protobuf.py makes them."""
