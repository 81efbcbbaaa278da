"""Keylease: short-lived credentials for CI jobs, masked and revoked."""

from keylease.lean import import_msgspec

import_msgspec()

__version__ = "0.1.0"
