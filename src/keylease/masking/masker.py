"""The register of all values of this run that must not be seen."""

import threading
from collections.abc import Callable, Iterable

from keylease.masking.forms import forms, is_maskable, lines_of
from keylease.secret import Secret

REPLACEMENT = "***"


class Masker:
    """Every secret value passes through :meth:`seal` the moment it comes into the process.

    announce: told of each text to mask, before the value can go anywhere else (GitHub: ``::add-mask::``);
        called for the value and for each line of a multi-line value.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._known: dict[bytes, None] = {}
        self._announced: set[str] = set()
        self._unmaskable: dict[str, None] = {}

    def seal(self, value: str | bytes, label: str) -> Secret:
        """Register `value` and wrap it. `label` names it in reports: a reference or a variable."""
        secret = Secret(value)
        data = secret.reveal_bytes()
        with self._lock:
            if data in self._known:
                return secret
            self._known[data] = None
            texts = [text for text in lines_of(data) if is_maskable(text)]
            if not texts and data.strip():
                self._unmaskable[label] = None
            new = [text for text in texts if text not in self._announced]
            self._announced.update(new)
            if self._announce:
                for text in new:
                    self._announce(text)
        return secret

    @property
    def unmaskable(self) -> list[str]:
        """Labels of values too short or too common to mask: masking them would wreck the log."""
        return list(self._unmaskable)

    def patterns(self) -> Iterable[bytes]:
        """All byte patterns to hide, in every form."""
        with self._lock:
            known = list(self._known)
        seen: dict[bytes, None] = {}
        for data in known:
            for form in forms(data):
                seen[form] = None
        return seen

    def scrub(self, text: str) -> str:
        """`text` with every known value hidden; for our own messages: a server may echo what we sent."""
        found = [p.decode("utf-8", "surrogateescape") for p in self.patterns()]
        for pattern in sorted(found, key=len, reverse=True):
            text = text.replace(pattern, REPLACEMENT)
        return text
