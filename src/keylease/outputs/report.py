"""What was leased, in a table for people: on the job's summary page and in the log. Never a value."""

import time
from collections.abc import Sequence

from msgspec import Struct

from keylease.model import Export, Lease
from keylease.outputs.console import one_line

HEADINGS = ("What", "From", "Delivered as", "Valid until (UTC)", "SHA-256 of the token")

MAX_ROWS = 500
"""Rows of a summary. What is more is counted in its last line."""


class Row(Struct, frozen=True):
    """One lease or value. expires_at: Unix time. fingerprint: SHA-256 of an issued token, never of a stored value."""

    what: str
    source: str
    delivered: str = ""
    expires_at: float | None = None
    fingerprint: str | None = None

    def cells(self) -> list[str]:
        """The texts under :data:`HEADINGS`."""
        until = "" if self.expires_at is None else _utc(self.expires_at)
        return [self.what, self.source, self.delivered, until, self.fingerprint or ""]


def _utc(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):  # a server may say anything
        return "?"


def rows_of(leases: Sequence[Lease], exports: Sequence[Export]) -> list[Row]:
    """A row for each login, then one for each value delivered, in the order asked."""
    rows = [
        Row(f"login to {lease.provider}", lease.account or lease.type, "", lease.expires_at, lease.fingerprint)
        for lease in leases
    ]
    for export in exports:
        ways = [
            *(["environment variable"] if export.env else []),
            *([f"output {export.output_name or export.name}"] if export.output else []),
            *([f"file {export.file}"] if export.file is not None else []),
        ]
        rows.append(Row(export.name, export.source, ", ".join(ways), export.expires_at))
    return rows


def markdown(rows: Sequence[Row], title: str = "Keylease") -> str:
    """A Markdown table in which no cell's text can be anything but text."""
    lines = [f"### {escape(title)}", "", _row(HEADINGS), _row(["---"] * len(HEADINGS))]
    lines += [_row([escape(cell) for cell in row.cells()]) for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines += ["", f"… and {len(rows) - MAX_ROWS} more"]
    return "\n".join(lines) + "\n\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape(text: str) -> str:
    """`text` as Markdown that shows exactly it: all ASCII punctuation but the harmless as character references.

    Backslashes would not do: inside a table a backslash before `|` is taken off before the rest is read.
    """
    flat = one_line(text[:1200], 300)
    text = "".join(c if c.isalnum() or not c.isascii() or c in " -.,/():" else f"&#{ord(c)};" for c in flat)
    return text.replace("://", "&#58;//").replace("www.", "www&#46;")  # no links of its own
