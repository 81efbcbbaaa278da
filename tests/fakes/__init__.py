"""Hand-written stand-ins, only where no real server can be had. Each docstring says what it can't show."""
