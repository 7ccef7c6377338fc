"""Generated modules of the protobuf package ``eventhooks``: scripts/generate_protobuf.py makes them."""
