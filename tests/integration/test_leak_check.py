"""The check of `tests/leaks.py` fails a test that lets a seeded value out, and no other.

A pytest of its own runs the cases below, each a test function; afterwards every case is judged here.
"""

import base64
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import pytest

from tests import leaks
from tests.environment import clean_environment

ROOT = Path(__file__).parents[2]

# Upper and lower case, characters that URLs, JSON, base64url and shells treat each in their own way.
VALUE = "pl4nted/Value?+&'\"%é\\end"
MULTI_LINE = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA7\nZq8xT1vZ3y\n-----END KEY-----"

HEADER = f"""
import base64, json, logging, os, pathlib, sys, urllib.parse, urllib.request
import pytest
VALUE = {VALUE!r}
MULTI_LINE = {MULTI_LINE!r}

def ask(issuer):
    request = urllib.request.Request(issuer.audience_url("a"))
    request.add_header("Authorization", "bearer " + issuer.request_token)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["value"]
"""

# name -> (body of the test, what the message says of the place and the form)
LEAKING = {
    "stdout": ("print(VALUE)", "captured stdout call: plain"),
    "stderr": ("print(VALUE, file=sys.stderr)", "captured stderr call: plain"),
    "descriptor": ("os.write(1, VALUE.encode())", "captured stdout call: plain"),
    "log_debug": ("logging.getLogger('x').debug('got %s', VALUE)", "captured log call: plain"),
    "read_by_capsys": ("print(VALUE); capsys.readouterr()", "captured stdout: plain"),
    "left_in_capfd": ("os.write(2, VALUE.encode())", "captured stderr call: plain"),
    "cleared_caplog": ("logging.warning(VALUE); caplog.clear()", "captured log call: plain"),
    "line": ("print('x', MULTI_LINE.splitlines()[1])", "captured stdout call: line"),
    "base64": ("print(base64.b64encode(VALUE.encode()).decode())", "captured stdout call: base64"),
    "base64_after_1": ("print(base64.b64encode(b'u' + VALUE.encode() + b'z').decode())", "stdout call: base64"),
    "base64_after_2": ("print(base64.b64encode(b'us' + VALUE.encode() + b'zz').decode())", "stdout call: base64"),
    "base64_after_3": ("print(base64.b64encode(b'us:' + VALUE.encode()).decode())", "stdout call: base64"),
    "base64url": ("print(base64.urlsafe_b64encode(b'u' + VALUE.encode()).decode())", "stdout call: base64"),
    "url": ("print('https://x/?q=' + urllib.parse.quote(VALUE, safe=''))", "stdout call: URL"),
    "url_form": ("print(urllib.parse.urlencode({'q': VALUE}))", "stdout call: URL"),
    "hex": ("print(VALUE.encode().hex())", "stdout call: hex"),
    "json": ("print(json.dumps({'q': VALUE}))", "stdout call: JSON"),
    "repr": ("print(repr([VALUE]))", "stdout call: Python repr"),
    "workflow_command": ("print('::notice::' + VALUE.replace('%', '%25'))", "stdout call: workflow command"),
    "add_mask": ("print('::add-mask::' + VALUE)", "stdout call (::add-mask:: lines): plain"),
    "beside_allowed_add_mask": (
        "seeded.allow('add-mask'); print('::add-mask::' + VALUE); print('x' + VALUE)",
        "captured stdout call: plain",
    ),
    "not_the_allowed_value": (
        "other = seeded.new('other'); seeded.allow('stdout', VALUE); print(VALUE, other)",
        "captured stdout call: plain form of other",
    ),
    "not_the_allowed_place": ("seeded.allow('stdout'); print(VALUE, file=sys.stderr)", "stderr call: plain"),
    "file": ("tmp_path.joinpath('a').mkdir(); tmp_path.joinpath('a/f').write_text(VALUE)", "file a/f: plain"),
    "file_name": ("tmp_path.joinpath(VALUE.replace('/', '')).touch(); seeded.add(VALUE.replace('/', ''))", "file "),
    "beside_allowed_file": (
        "f = tmp_path / 'f'; f.write_text(VALUE); g = tmp_path / 'g'; g.write_text(VALUE); seeded.allow_file(f)",
        "file g: plain",
    ),
    "home": ("pathlib.Path.home().joinpath('.token').write_text(VALUE)", "file .token: plain"),
    "expected_exception": (
        "with pytest.raises(ValueError): raise ValueError(f'bad {VALUE}')",
        "expected ValueError: plain",
    ),
    "exception_attribute": (
        "e = ValueError(); e.body = VALUE.encode()\nwith pytest.raises(ValueError): raise e",
        "expected ValueError: Python repr",
    ),
    "exception_note": (
        "e = ValueError(); e.add_note(VALUE)\nwith pytest.raises(ValueError): raise e",
        "expected ValueError: plain",
    ),
    "exception_cause": (
        "with pytest.raises(ValueError):\n    raise ValueError() from KeyError(VALUE)",
        "expected ValueError: ",
    ),
    "child": ("seeded.saw('stderr', VALUE, 'stderr of the child')", "stderr of the child: plain"),
    "session_value": (
        "import tests.leaks; tests.leaks.SESSION_VALUES.add('long-lived-password'); print('long-lived-password')",
        "captured stdout call: plain form",
    ),
    "identity_token": (
        "print(ask(issuer))",
        "captured stdout call: plain form",
    ),
}

CLEAN = {
    "nothing": "assert VALUE",
    "declared_stdout": "seeded.allow('stdout', VALUE); print(VALUE)",
    "declared_add_mask": "seeded.allow('add-mask'); print('::add-mask::' + VALUE)",
    "declared_file": "f = tmp_path / 'f'; f.write_text(VALUE); seeded.allow_file(f)",
    "declared_directory": "d = tmp_path / 'd'; d.mkdir(); (d / 'f').write_text(VALUE); seeded.allow_file(d)",
    "suppressed_context": (
        "with pytest.raises(ValueError):\n"
        "    try: raise KeyError(VALUE)\n"
        "    except KeyError: raise ValueError() from None"
    ),
    "too_short_to_seed": "with pytest.raises(ValueError, match='6 characters'): seeded.add('true')",
    "unknown_place": "with pytest.raises(ValueError, match='is none of'): seeded.allow('stdot')",
}

FAILING = {"raised": "raise RuntimeError(VALUE)", "compared": "got = VALUE + 'x'; assert got == VALUE"}


@dataclass(frozen=True)
class Outcome:
    words: set[str]
    output: str


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("leaks")
    cases = {name: body for name, (body, _) in LEAKING.items()} | CLEAN | FAILING
    source = HEADER
    for name, body in cases.items():
        fixtures = ["seeded", "tmp_path"]
        fixtures += [fixture for fixture in ("capsys", "capfd", "caplog") if fixture in name]
        fixtures += ["issuer"] if "issuer" in body else []
        source += f"\ndef test_{name}({', '.join(fixtures)}):\n    seeded.add(VALUE, MULTI_LINE)\n"
        source += indent(body, "    ") + "\n"
    (directory / "test_cases.py").write_text(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rA"),
            *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(directory)),
            *(f"--basetemp={directory / 'base'}", "test_cases.py"),
        ],
        check=False,
        cwd=directory,
        env=clean_environment(PYTHONPATH=str(ROOT), COLUMNS="400"),
        capture_output=True,
        text=True,
        timeout=100,
    )
    words = set(re.findall(r"^((?:PASSED|FAILED|ERROR) test_cases\.py::test_\w+)", done.stdout, re.MULTILINE))
    return Outcome(words, done.stdout + done.stderr)


def section(outcomes: Outcome, title: str) -> str:
    found = re.search(
        rf"^_+ {re.escape(title)} _+$(.*?)^(?:_{{3,}}|={{3,}})", outcomes.output, re.DOTALL | re.MULTILINE
    )
    assert found, outcomes.output[-3000:]
    return found[1]


@pytest.mark.parametrize("name", LEAKING)
def test_a_leak_fails_the_test(outcomes: Outcome, name: str) -> None:
    assert f"ERROR test_cases.py::test_{name}" in outcomes.words
    assert LEAKING[name][1] in section(outcomes, f"ERROR at teardown of test_{name}")


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_declared_passes(outcomes: Outcome, name: str) -> None:
    assert f"PASSED test_cases.py::test_{name}" in outcomes.words
    assert f"ERROR test_cases.py::test_{name}" not in outcomes.words


def test_an_exception_that_fails_the_test_is_searched(outcomes: Outcome) -> None:
    assert "FAILED test_cases.py::test_raised" in outcomes.words
    assert "exception of the test's call: plain" in section(outcomes, "ERROR at teardown of test_raised")


def test_a_failed_comparison_is_no_leak(outcomes: Outcome) -> None:
    assert "FAILED test_cases.py::test_compared" in outcomes.words
    assert "ERROR test_cases.py::test_compared" not in outcomes.words


def test_the_value_is_never_printed(outcomes: Outcome) -> None:
    ours = re.sub(r"^(?:VALUE|MULTI_LINE) = .*$", "", outcomes.output, flags=re.MULTILINE)
    # Passed tests show what they declared (-rA).
    shown = re.sub(r"^=+ PASSES =+$.*?^=+ short test summary", "", ours, flags=re.DOTALL | re.MULTILINE)
    assert "[seeded value]" in shown
    assert list(leaks.find(shown.encode(), [VALUE])) == []


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("value", ["abcdef", "s3cr3t-value", VALUE, MULTI_LINE])
def test_base64_is_found_wherever_it_lies(value: str, before: int, after: int) -> None:
    encoded = base64.b64encode(b"\xfb" * before + value.encode() + b"\xef" * after)
    assert [name for _, name in leaks.find(encoded, [value])]
