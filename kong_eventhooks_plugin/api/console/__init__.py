"""The console: pages for a person, on the use cases that REST and gRPC have."""
