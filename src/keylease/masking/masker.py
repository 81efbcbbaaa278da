"""The register of all values of this run that must not be seen."""

import threading
from collections.abc import Callable, Iterable

from keylease.masking.forms import announcements, forms
from keylease.masking.redactor import REPLACEMENT, Redactor
from keylease.secret import Secret

__all__ = ["REPLACEMENT", "Masker"]


class Masker:
    """Every secret value passes through :meth:`seal` the moment it comes into the process.

    announce: told of each text to mask, before the value can go anywhere else (GitHub: ``::add-mask::``);
        called for the value, for each line of a multi-line value and each string inside a JSON value.
        What it raises, :meth:`seal` raises: a value that can't be masked doesn't go on.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._known: dict[bytes, None] = {}
        self._announced: set[str] = set()
        self._unmaskable: dict[str, None] = {}
        self._patterns: list[bytes] | None = None

    def seal(self, value: str | bytes, label: str) -> Secret:
        """Register `value` and wrap it. `label` names it in reports: a reference or a variable."""
        secret = Secret(value)
        data = secret.reveal_bytes()
        with self._lock:
            if data in self._known:
                return secret
            texts = announcements(data)
            if not texts and data.strip():
                self._unmaskable[label] = None
            for text in texts:
                if text not in self._announced:
                    if self._announce:
                        self._announce(text)
                    self._announced.add(text)
            self._known[data] = None
            self._patterns = None
        return secret

    @property
    def unmaskable(self) -> list[str]:
        """Labels of values too short or too common to mask: masking them would wreck the log."""
        with self._lock:
            return list(self._unmaskable)

    def patterns(self) -> Iterable[bytes]:
        """All byte patterns to hide, in every form; a snapshot."""
        with self._lock:
            if self._patterns is None:
                self._patterns = list({form: None for data in self._known for form in forms(data)})
            return list(self._patterns)

    def scrub(self, text: str) -> str:
        """`text` with every known value hidden; for our own messages: a server may echo what we sent."""
        redactor = Redactor(self.patterns())
        data = redactor.feed(text.encode("utf-8", "surrogatepass")) + redactor.flush()
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a binary value ended within a character
            return data.decode("utf-8", "replace")
