"""Modules that scripts/generate_protobuf.py generates from proto/eventhooks/v1."""
