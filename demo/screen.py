"""What the demo says: numbered sections, checked statements, logs; and never a secret value."""

import sys
from collections.abc import Iterable
from typing import TextIO

BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"


class UntrueError(Exception):
    """Something is not as the demo was about to tell; the text says what."""


class Screen:
    """Prints the transcript.

    colours: on a terminal only, and not with NO_COLOR (https://no-color.org).
    checks: statements that were checked so far.
    """

    def __init__(self, out: TextIO | None = None, *, colours: bool = False) -> None:
        self._out = out or sys.stdout
        self._colours = colours
        self._secrets: dict[str, str] = {}
        self._sections = 0
        self.checks = 0

    def guard(self, label: str, *values: str) -> None:
        """From now on anything printed that holds one of these values (or a line of it) ends the demo instead.

        The lines around a key (-----BEGIN PRIVATE KEY-----) are no secret: they are the same for all.
        """
        for value in values:
            for part in (value, *value.splitlines()):
                if len(part) >= 6 and not (part.startswith("-----") and part.endswith("-----")):
                    self._secrets[part] = label

    def holds_secret(self, text: str) -> str | None:
        """The label of a guarded value that `text` holds, if any."""
        return next((label for value, label in self._secrets.items() if value in text), None)

    def section(self, title: str) -> None:
        """The next numbered section."""
        self._sections += 1
        self._line()
        self._line(self._styled(f"{self._sections}  {title}", BOLD))

    def say(self, text: str = "") -> None:
        """Plain text, one or more lines."""
        for line in text.splitlines() or [""]:
            self._line(f"   {line}")

    def quote(self, lines: Iterable[str]) -> None:
        """Somebody else's words: a workflow, a log, a server's answer."""
        for line in lines:
            self._line(f"   {self._styled('│', CYAN)} {line}")

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and what they stand for."""
        listed = list(rows)
        width = max(len(name) for name, _ in listed)
        self.quote(f"{name:<{width}}  {self._styled(value, DIM)}" for name, value in listed)

    def check(self, true: bool, statement: str, *, otherwise: str = "") -> None:
        """State something that was just verified. Raises UntrueError when it is not so.

        statement: what holds. otherwise: what was found instead, for the error.
        """
        if not true:
            otherwise = "(what was found holds a secret value)" if self.holds_secret(otherwise) else otherwise
            raise UntrueError(f"not so: {statement}" + (f"\n{otherwise}" if otherwise else ""))
        self.checks += 1
        self._line(f"   {self._styled('✓', GREEN)} {statement}")

    def end(self, text: str, *, good: bool = True) -> None:
        """The last word."""
        self._line()
        for line in text.splitlines():
            self._line(self._styled(line, GREEN if good else RED))

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours else text

    def _line(self, text: str = "") -> None:
        leaked = self.holds_secret(text)
        if leaked:
            # Without the text, of course.
            raise UntrueError(f"the demo was about to print a secret value: {leaked}")
        print(text, file=self._out, flush=True)
