"""Hide values in the log of a Python program."""

import logging

from keylease.masking.masker import Masker

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came in through `extra`."""


class LoggingFilter(logging.Filter):
    """Hides what `masker` knows in all that a record carries: message, arguments, traceback, stack and `extra`.

        handler.addFilter(LoggingFilter(masker))

    Put it on handlers: a filter on a logger is not asked about the records of the loggers below it. It works in
    place, so handlers that come later see the cleaned record too. Values sealed later are hidden from then on.
    The traceback is kept as text (`exc_text`) and not as an exception, whose parts a formatter could print.
    """

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; it is never dropped."""
        text = self.clean(_message(record))
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.msg, record.args, record.exc_info = text, None, None
        record.exc_text = self.clean(record.exc_text) if record.exc_text else None
        record.stack_info = self.clean(record.stack_info) if record.stack_info else None
        for name, value in vars(record).items():
            if name not in _OWN:
                setattr(record, name, self.clean_extra(value))
        return True

    def clean_extra(self, value: object) -> object:
        """An attribute from `extra`, as it is if its text holds nothing to hide, else that text without it."""
        text = value if isinstance(value, str) else repr(value)
        cleaned = self._masker.scrub(text)
        return value if cleaned == text else cleaned

    def clean(self, text: str) -> str:
        """`text` without any known value."""
        return self._masker.scrub(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # Arguments that don't fit the format: logging would print both, raw, to standard error.
        return f"{record.msg!s} {record.args!r}"
