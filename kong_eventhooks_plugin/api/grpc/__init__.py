"""The gRPC server: proto/eventhooks/v1 over the same use cases as REST.

grpc needs memory and starts threads, so ``serve`` imports it only where it is served. The modules below ``eventhooks``
are generated (scripts/generate_protobuf.py).
"""
