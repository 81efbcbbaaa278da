"""Colours inside a value: a text without them, and where each of its bytes was."""

import re
from bisect import bisect_right
from itertools import accumulate

ESCAPE = b"\x1b"

_PARAMETERS = rb"\x1b\[[0-9;:]{0,24}"
_CODE = re.compile(_PARAMETERS + rb"[mK]")
"""SGR (colours, bold …) and EL (grep writes it behind each colour), ECMA-48 8.3.117 and 8.3.41: what leaves the letters
around it side by side."""

_RUN = re.compile(rb"(" + _CODE.pattern + rb"(?:" + _CODE.pattern + rb")*)")

_UNFINISHED = re.compile(rb"\x1b\Z|" + _PARAMETERS + rb"\Z")

_LONGEST = 64
"""Bytes of codes in a row up to which a value may go on behind them: what is held back must have a limit."""


class Uncoloured:
    """text: `data` without codes for colours; where there are too many in a row, one byte `ESCAPE` in their place.

    decided: up to where it is known which bytes are codes: not up to the end of `data` if that may be a part of one.
    """

    def __init__(self, data: bytes) -> None:
        last = data.rfind(ESCAPE)
        self.decided = last if last >= 0 and _UNFINISHED.match(data, last) else len(data)
        parts = _RUN.split(data[: self.decided])
        self.changed = len(parts) > 1
        codes = parts[1::2]
        if max(map(len, codes), default=0) > _LONGEST:
            for index, run in enumerate(codes):
                if len(run) > _LONGEST:
                    parts[2 * index] += ESCAPE
                    codes[index] = run[1:]
        texts = parts[::2]
        self.text = b"".join(texts)
        # For each stretch of text: where the next one begins, and how many bytes of codes are before it.
        self._ends = list(accumulate(map(len, texts)))
        self._before = list(accumulate(map(len, codes), initial=0))

    def place(self, at: int) -> int:
        """Where in `data` the byte `at` of `text` is."""
        return at + self._before[bisect_right(self._ends, at)]


def outside(data: bytes, at: int) -> int:
    """`at`, or where the code begins in whose middle this place is."""
    begin = data.rfind(ESCAPE, 0, at)
    code = _CODE.match(data, begin) if begin >= 0 else None
    return begin if code and code.end() > at else at
