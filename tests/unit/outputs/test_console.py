"""What the log shows, and what it can't be made to show or do."""

import io
import logging
import os
import pty
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.masking import Masker
from keylease.model import Origin
from keylease.outputs.console import colour_wanted, emit, one_line, sanitize, set_up_logging, table
from tests.fakes import runner_commands as runner
from tests.leaks import Seeded


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("keylease", "urllib3", "requests", "hvac", "charset_normalizer")]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in loggers]
    yield
    for log, handlers, level, propagate in before:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


ATTACKS = [
    "::add-mask::x", "  ::stop-commands::t", "ok\n::error::x", "ok\r::warning::x", "ok\r\n\t::set-env name=a::b",
    "##[add-mask]x", "text ##[error]x", "\x1b[0m::error::x", "\u200b::error::x", "\x0b::error::x", "a\u2028::error::x",
    "\u00a0::group::x", "#\x1b[0m#[error]x", ":\x00:error::x", "\x85::error::x", "\x1b]0;title\x07::error::x",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
def test_foreign_text_gives_the_runner_no_command(text: str) -> None:
    for line in runner.output_lines(sanitize(text).encode()):
        assert runner.command(line) is None


@given(
    st.lists(
        st.sampled_from(
            [":", "::", "#", "##[", "error", "]", "\n", "\r", " ", "\x1b[m", "\u200b", "\0", "\x85", "\u2029"]
        )
    )
)
def test_no_mixture_does(parts: list[str]) -> None:
    text = sanitize("".join(parts))
    assert [line for line in runner.output_lines(text.encode()) if runner.command(line)] == []
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("a\x08\x7f\x9b31mb", "ab"),
        ("\u202eevil\u2066", "evil"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("ü€日本", "ü€日本"),
        ("\ud800", "?"),
        ("##vso[task.setvariable]x", "## vso[task.setvariable]x"),
        ("std::string ok", "std::string ok"),
        ("unfinished \x1b]0;title", "unfinished "),
    ],
)
def test_terminal_escapes_go_and_text_stays(text: str, clean: str) -> None:
    assert sanitize(text) == clean


def test_one_line_is_one_line() -> None:
    assert one_line("a\n b\tc\u2028d" + "x" * 100, 12) == "a b c dxxxx…"


def log_to(stream: io.TextIOWrapper, masker: Masker, **more: bool) -> logging.Logger:
    return set_up_logging(masker, {}, stream, **more)


def text_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def written(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def test_on_github_levels_become_commands() -> None:
    stream = text_stream()
    log = log_to(stream, Masker(), github=True, debug=True)
    log.debug("50%% of\n%s", "two lines")
    log.info("for people")
    log.warning("careful: %s", "a,b", extra={"origin": Origin("keylease.yml", 3, "x")})
    log.error("broken", extra={"origin": Origin("input secrets", 1)})
    lines = runner.output_lines(written(stream).encode())
    assert lines[1] == "for people"
    debug, warning, error = (found for line in lines if (found := runner.command(line)))
    assert (debug.name, debug.data) == ("debug", "50% of\ntwo lines")
    assert warning.properties == {"title": "Keylease", "file": "keylease.yml", "line": "3"}
    assert warning.data == "careful: a,b"
    assert error.properties == {"title": "Keylease"}


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
def test_no_logged_text_can_add_a_command(text: str, level: int) -> None:
    stream = text_stream()
    log_to(stream, Masker(), github=True, debug=True).log(level, "%s", text)
    commands = [c.name for line in runner.output_lines(written(stream).encode()) if (c := runner.command(line))]
    assert commands == {logging.DEBUG: ["debug"], logging.INFO: [], logging.WARNING: ["warning"]}[level]


@pytest.mark.parametrize("github", [True, False])
def test_every_record_is_scrubbed_wherever_the_value_is(seeded: Seeded, github: bool) -> None:
    value = seeded.new("token")
    masker, stream = Masker(), text_stream()
    masker.seal(value, "t")
    log = log_to(stream, masker, github=github, debug=True)
    log.info("in the message %s", value)
    log.debug(f"in the format {value}")  # noqa: G004  # the point
    log.getChild("part").warning("broken up %s\x1b[0m%s", value[:5], value[5:])
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("in an exception")
    text = written(stream)
    seeded.saw("stderr", text)
    assert value not in text
    assert text.count("***") >= 4
    assert "Traceback" in text


def test_for_people_levels_are_words_and_debug_is_off() -> None:
    stream = text_stream()
    log = log_to(stream, Masker())
    log.debug("hidden")
    log.info("reading")
    log.warning("careful", extra={"origin": Origin("keylease.yml", 3)})
    assert written(stream) == "keylease: reading\nkeylease: keylease.yml:3: warning: careful\n"


def test_libraries_that_print_urls_stay_silent(caplog: pytest.LogCaptureFixture) -> None:
    stream = text_stream()
    log_to(stream, Masker(), debug=True)
    for name in ("urllib3.connectionpool", "requests", "hvac.adapters"):
        logging.getLogger(name).warning("Retrying https://vault/v1/secret?x=y")
    assert written(stream) == ""
    assert caplog.records == []


def test_colour_is_for_terminals_that_want_it() -> None:
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal, open(leader, "rb"):
        assert colour_wanted(terminal, {"TERM": "xterm"})
        assert not colour_wanted(terminal, {"TERM": "xterm", "NO_COLOR": "1"})
        assert not colour_wanted(terminal, {"TERM": "dumb"})
    assert not colour_wanted(text_stream(), {"TERM": "xterm"})


def test_a_reader_that_has_gone_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", closefd=False)  # noqa: SIM115  # closing it raises: what it holds has no reader
    log = log_to(stream, Masker())
    log.warning("nobody reads this")
    log.warning("nor this")
    with pytest.raises(BrokenPipeError):
        stream.close()
    os.close(writer)


def test_lines_are_utf8_whatever_the_locale_and_stay_in_order() -> None:
    stream = text_stream()
    stream.write("before\n")
    emit(stream, "€\n")
    emit(stream, "\ud800\n")
    assert written(stream) == "before\n€\n\\ud800\n"


def test_tables_are_aligned_and_harmless() -> None:
    text = table([("NAME", "FROM"), ("A", "vault\n::error::x"), ("日本語", "\x1b[31mx")])
    assert text == "  NAME    FROM\n  A       vault : :error::x\n  日本語  x\n"
    assert table([]) == ""
