"""The recorded Kong that plays its traffic through the real socket protocol, and what it needs around it."""
