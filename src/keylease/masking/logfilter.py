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
        """An attribute from `extra`, as it is if its text holds nothing to hide, else that text without it.

        A formatter may take its str or its repr: those of a URL, for one, can differ in the password.
        """
        for write in (str, repr):
            try:
                text = write(value)
            except Exception as error:  # noqa: BLE001  # a formatter would print its traceback
                return _unprintable(value, error)
            cleaned = self._masker.scrub(text)
            if cleaned != text:
                return cleaned
        return value

    def clean(self, text: str) -> str:
        """`text` without any known value."""
        return self._masker.scrub(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # logging would print message and arguments, raw, to standard error
        message = record.msg if isinstance(record.msg, str) else _text(record.msg)
        return f"{message} {_text(record.args)}" if record.args else message


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # any object may come; logging must not end the program
        return _unprintable(value, error)


def _unprintable(value: object, error: Exception) -> str:
    return f"<{type(value).__name__}: {type(error).__name__}>"
