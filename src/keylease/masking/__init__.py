"""Keep every value out of every log."""

from keylease.masking.masker import Masker

__all__ = ["Masker"]
