"""Mirrors src/keylease/masking."""
