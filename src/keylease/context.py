"""What every part of a run is handed: the clock, the masker, HTTP, the environment and the log."""

import logging

from keylease.http import Deadline, HttpFactory
from keylease.masking import Masker
from keylease.model import Env, Seal

MINIMUM_RESERVE = 3.0
"""Seconds that revoking may take at the least."""


class Context:
    """Made once per run by commands.py or action.py. `env` is a snapshot of the process environment."""

    def __init__(self, env: Env, masker: Masker, deadline: Deadline, log: logging.Logger | None = None) -> None:
        self.env = env
        self.masker = masker
        self.deadline = deadline
        self.log = log or logging.getLogger("keylease")
        self.http = HttpFactory(deadline, env)

    @property
    def seal(self) -> Seal:
        """Register a value with the masker and wrap it."""
        return self.masker.seal

    def for_revocation(self) -> "Context":
        """The same run with a clock of its own: what was taken must be given back even after the deadline."""
        return Context(self.env, self.masker, Deadline(max(self.deadline.reserve, MINIMUM_RESERVE)), self.log)
