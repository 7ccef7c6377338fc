"""The plugin server that Kong calls: connections, instances, PDK calls, phases, plugin info."""
