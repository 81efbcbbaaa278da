"""The logging filter for programs that use Keylease as a library."""

import io
import logging
import time

import pytest

from keylease.masking import LoggingFilter, Masker
from tests.leaks import Seeded


@pytest.fixture
def masker() -> Masker:
    return Masker()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(masker: Masker, stream: io.StringIO) -> logging.Logger:
    logger = logging.Logger("program", logging.DEBUG)  # noqa: LOG001  # of this test only
    handler = logging.StreamHandler(stream)
    handler.addFilter(LoggingFilter(masker))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(user)s", defaults={"user": "-"}))
    logger.addHandler(handler)
    return logger


def test_every_part_of_a_record_is_cleaned(
    masker: Masker, log: logging.Logger, stream: io.StringIO, seeded: Seeded
) -> None:
    value = seeded.new("password")
    masker.seal(value, "password")
    log.info("arguments %s and %r", value, {"key": value})
    log.info(f"format {value}")  # noqa: G004  # the point
    log.info("extra", extra={"user": value})
    log.info("extra object", extra={"user": [value]})
    log.info("stack", stack_info=True)
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("traceback")
    text = stream.getvalue()
    seeded.saw("log", text)
    assert value not in text
    assert "INFO arguments *** and {'key': '***'} -\n" in text
    assert "INFO extra ***\n" in text
    assert "ValueError: ***" in text
    assert "Stack (most recent call last)" in text


def test_no_formatter_is_given_the_exception_itself(masker: Masker, seeded: Seeded) -> None:
    value = seeded.new("password")
    masker.seal(value, "password")
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "%s", (value,), (ValueError, ValueError(value), None))
    assert LoggingFilter(masker).filter(record)
    assert (record.exc_info, record.args) == (None, None)
    assert record.exc_text is not None
    assert value not in repr(vars(record))


def test_arguments_that_do_not_fit_are_cleaned_too(
    masker: Masker, log: logging.Logger, stream: io.StringIO, seeded: Seeded, capsys: pytest.CaptureFixture[str]
) -> None:
    value = seeded.new("password")
    masker.seal(value, "password")
    log.info("too few %s %s", value)  # noqa: PLE1206  # the point
    assert stream.getvalue() == "INFO too few %s %s ('***',) -\n"
    assert capsys.readouterr().err == ""  # logging's own error report prints message and arguments raw


def test_what_holds_nothing_to_hide_stays_what_it_is(masker: Masker) -> None:
    masker.seal("correct-horse", "x")
    record = logging.makeLogRecord({"msg": "plain", "request": {"id": 7}, "count": 3})
    LoggingFilter(masker).filter(record)
    assert (record.msg, record.request, record.count) == ("plain", {"id": 7}, 3)  # type: ignore[attr-defined]


def test_values_sealed_later_are_hidden_from_then_on(masker: Masker, log: logging.Logger, stream: io.StringIO) -> None:
    log.info("correct-horse")
    masker.seal("correct-horse", "x")
    log.info("correct-horse")
    assert stream.getvalue() == "INFO correct-horse -\nINFO *** -\n"


def test_a_record_costs_little_with_a_hundred_values(masker: Masker, log: logging.Logger) -> None:
    for n in range(100):
        masker.seal(f"a-value-of-{n}-for-the-log", str(n))
    log.info("the search is prepared")
    start = time.process_time()
    for n in range(100):
        log.info("request %s took %s ms", n, n * 3)
    # Preparing it anew for each record would take 100 times 20 ms and more.
    assert time.process_time() - start < 1.0


def test_what_cannot_be_printed_ends_neither_the_line_nor_the_program(
    masker: Masker, log: logging.Logger, stream: io.StringIO, seeded: Seeded
) -> None:
    value = seeded.new("password")
    masker.seal(value, "password")

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError(value)

    log.info("argument %s", Broken())
    log.info(Broken())
    log.info("extra", extra={"user": Broken()})
    log.info("too many", value, Broken())  # noqa: PLE1205  # the point
    text = stream.getvalue()
    seeded.saw("log", text)
    assert text.splitlines() == [
        "INFO argument %s <tuple: RuntimeError> -",
        "INFO <Broken: RuntimeError> -",
        "INFO extra <Broken: RuntimeError>",
        "INFO too many <tuple: RuntimeError> -",
    ]


def test_an_object_is_cleaned_however_the_formatter_writes_it(
    masker: Masker, log: logging.Logger, stream: io.StringIO, seeded: Seeded
) -> None:
    value = seeded.new("password")
    masker.seal(value, "password")

    class Url:
        def __str__(self) -> str:
            return f"https://user:{value}@host"

        def __repr__(self) -> str:
            return "Url('https://user:[secure]@host')"

    log.info("extra", extra={"user": Url()})
    seeded.saw("log", stream.getvalue())
    assert stream.getvalue() == "INFO extra https://user:***@host\n"
