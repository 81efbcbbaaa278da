"""Stores of secrets: one file per manager."""
