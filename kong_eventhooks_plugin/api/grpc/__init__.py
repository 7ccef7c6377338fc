"""The gRPC server: proto/eventhooks/v1 over the same use cases as REST.

grpc needs memory and starts threads, so only ``serve.serve_grpc`` imports it. The modules below ``eventhooks`` are
generated (scripts/generate_protobuf.py).
"""
