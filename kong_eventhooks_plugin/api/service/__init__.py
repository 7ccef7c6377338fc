"""The use cases that REST and gRPC share."""
