"""Real servers on loopback ports, each a context manager that leaves nothing behind."""
