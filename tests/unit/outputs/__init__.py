"""Mirrors src/keylease/outputs."""
