"""How REST and gRPC are reached: their addresses, TLS, and the limits of connections."""
