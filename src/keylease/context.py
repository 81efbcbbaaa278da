"""What every part of a run is handed: the clock, the masker, HTTP, the environment and the log."""

import logging
from dataclasses import dataclass, field

from keylease.http import Deadline, HttpFactory
from keylease.masking import Masker
from keylease.model import Env, Seal

MINIMUM_RESERVE = 3.0
"""Seconds that revoking may take at the least."""


@dataclass(slots=True)
class Context:
    """Made once per run by cli.py or action.py. `env` is a snapshot of the process environment."""

    env: Env
    masker: Masker
    deadline: Deadline
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("keylease"))
    http: HttpFactory = field(init=False)

    def __post_init__(self) -> None:
        self.http = HttpFactory(self.deadline, self.env)

    @property
    def seal(self) -> Seal:
        """Register a value with the masker and wrap it."""
        return self.masker.seal

    def for_revocation(self) -> "Context":
        """The same run with a clock of its own: what was taken must be given back even after the deadline."""
        return Context(self.env, self.masker, Deadline(max(self.deadline.reserve, MINIMUM_RESERVE)), self.log)
