"""Keep every value out of every log."""

from keylease.masking.logfilter import LoggingFilter
from keylease.masking.masker import Masker
from keylease.masking.redactor import REPLACEMENT, Redactor

__all__ = ["REPLACEMENT", "LoggingFilter", "Masker", "Redactor"]
