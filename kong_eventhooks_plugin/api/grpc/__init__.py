"""The gRPC door: proto/eventhooks/v1 over the same use cases as REST.

grpc takes memory and starts threads, so it is imported only by who asks ``serve.serve_grpc`` for a door. The modules
below ``eventhooks`` are generated (scripts/generate_protobuf.py).
"""
