"""Kong's door: the supervisor and its socket, instances, PDK calls, phases, plugin info."""
