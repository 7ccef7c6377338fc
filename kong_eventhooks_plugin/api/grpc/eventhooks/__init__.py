"""Modules that scripts/generate_protobuf.py generates for the protobuf package ``eventhooks``."""
