"""The register of all values of this run that must not be seen."""

import threading
from collections.abc import Callable, Iterable

from keylease.masking.forms import Announcement, announcements, forms, plain_forms, short_lines
from keylease.masking.redactor import REPLACEMENT, Redactor, scanner_for
from keylease.masking.scanner import Scanner
from keylease.secret import Secret

__all__ = ["REPLACEMENT", "Masker"]


class Masker:
    """Every secret value passes through :meth:`seal` the moment it comes into the process.

    announce: told of each text to mask, before the value can go anywhere else (GitHub: ``::add-mask::``);
        called for the value, for each line of a multi-line value and each string inside a JSON value. Each is an
        :class:`Announcement`: a text that brings its encoded forms with it, for platforms that don't know them.
        What it raises, :meth:`seal` raises: a value that can't be masked doesn't go on. One call at a time; it may
        write messages through :meth:`scrub`, but must not wait for another thread that uses the masker.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self._lock = threading.RLock()  # `announce` is called with it held, and may scrub a warning
        self._known: dict[bytes, bool] = {}  # whether it can be masked
        self._fresh: list[bytes] = []  # known, but not yet among the patterns
        self._patterns: dict[bytes, None] = {}
        self._announced: dict[str, set[bytes]] = {}
        self._unmaskable: dict[str, None] = {}
        self._usual: set[bytes] = set()  # what our own messages are searched for
        self._scanner: Scanner | None = None
        self.added: Callable[[], None] = lambda: None
        """Called in the sealing thread for each new value: streams that run already must hide it too. One call at a
        time, with the value among :meth:`patterns`, before any thread gets it; what it raises, `seal` raises."""

    def seal(self, value: str | bytes, label: str) -> Secret:
        """Register `value` and wrap it. `label` names it in reports: a reference or a variable."""
        secret = Secret(value)
        data = secret.reveal_bytes()
        with self._lock:
            if data in self._known:
                self._report(data, label, maskable=self._known[data])
                return secret
            texts = announcements(data)
            self._report(data, label, maskable=bool(texts))
            # First our own messages: announcing may write one, and may fail.
            self._usual.update(plain_forms(data))
            self._usual.update(text.strip().encode("utf-8") for text in texts)
            self._usual.update(form.pattern for text in texts for form in text.forms)
            self._scanner = None
            for text in texts:
                self._tell(text)
            self._fresh.append(data)
            self.added()
            self._known[data] = bool(texts)  # last: what failed on the way is done again for the next who seals it
        return secret

    def _tell(self, text: Announcement) -> None:
        """Announce a text once, and again only with forms that it did not have as a line of another value."""
        told = self._announced.get(text, set())
        further = {form.pattern for form in text.forms} - told
        if text in self._announced and not further:
            return
        if self._announce:
            self._announce(text)
        self._announced[text] = told | further

    def _report(self, data: bytes, label: str, *, maskable: bool) -> None:
        short, lines = short_lines(data)
        if not maskable and data.strip():
            self._unmaskable[label] = None
        elif short:
            self._unmaskable[f"{label} ({short} of its {lines} lines)"] = None

    @property
    def unmaskable(self) -> list[str]:
        """Labels of values too short or too common to mask: masking them would wreck the log.

        Of a value whose lines are partly so: the label with their number. They are hidden beside their neighbours.
        """
        with self._lock:
            return list(self._unmaskable)

    def patterns(self) -> Iterable[bytes]:
        """All byte patterns to hide, in every form; a snapshot."""
        with self._lock:
            self._refresh()
            return list(self._patterns)

    def _refresh(self) -> None:
        if self._fresh:
            for data in self._fresh:
                self._patterns.update(dict.fromkeys(forms(data)))
            self._fresh = []

    def scrub(self, text: str) -> str:
        """`text` with every known value hidden, as it is and in the forms that were announced.

        For messages: making the rest of the forms for each new value would cost more than the lease.
        """
        with self._lock:
            if self._scanner is None:
                self._scanner = scanner_for(self._usual, short=True)
            scanner = self._scanner
        return _hidden(text, scanner)


def _hidden(text: str, scanner: Scanner) -> str:
    data, errors = _encoded(text)
    redactor = Redactor(scanner)
    shown = redactor.whole(data)
    if not redactor.count:
        return text
    try:
        return shown.decode("utf-8", errors)
    except UnicodeDecodeError:  # a binary value ended within a character
        return shown.decode("utf-8", "replace")


def _encoded(text: str) -> tuple[bytes, str]:
    """The bytes of any text, and how to get it back from them.

    Those of an argument or variable that are no UTF-8 (lone surrogates, PEP 383) stand in a value as they are.
    """
    for errors in ("strict", "surrogateescape"):
        try:
            return text.encode("utf-8", errors), errors
        except UnicodeEncodeError:
            continue
    return text.encode("utf-8", "surrogatepass"), "surrogatepass"
