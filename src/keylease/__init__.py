"""Keylease: short-lived credentials for CI jobs, masked and revoked."""

__version__ = "0.1.0"
