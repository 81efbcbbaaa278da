"""The table and the JSON say the same, and a missed target is called one."""

import pytest

from bench import report
from bench.__main__ import main
from bench.cases import HVAC, OURS, PEER, Case, cases
from bench.measure import Sample, Summary

CASE = next(case for case in cases() if case.name == "lease-20-50ms")
SEVERAL = next(case for case in cases() if case.target.slowest == 1.5)
FAILING = next(case for case in cases() if case.name == "forbidden")


def took(wall: float, peak: float = 20.0, code: int = 0) -> Summary:
    return Summary.of([Sample(wall, wall / 2, peak, code)])


@pytest.mark.parametrize(("ours", "word"), [(0.35, "met"), (0.36, "MISSED")])
def test_targets_are_judged_against_the_peer(ours: float, word: str) -> None:
    said = report.verdicts(CASE, {OURS: took(ours), PEER: took(1.0, peak=50.0)})
    assert said == [
        f"target: wall ≤ 0.35 × peer: {ours:.2f} {word}",
        "target: peak ≤ 0.70 × peer: 0.40 met",
    ]


def test_without_a_peer_there_is_no_target_but_a_comparison() -> None:
    summaries = {OURS: took(0.5), HVAC: took(1.0)}
    assert report.verdicts(CASE, summaries) == []
    assert report.reference(summaries) == HVAC
    assert "0.50 wall  1.00 peak" in report.table([CASE], {CASE.name: summaries}, {"cores": "2"})


@pytest.mark.parametrize(("ours", "word"), [(0.12, "met"), (0.6, "MISSED")])
def test_failing_has_a_limit_of_its_own(ours: float, word: str) -> None:
    assert report.verdicts(FAILING, {OURS: took(ours, code=4)}) == [f"target: ≤ 0.5 s: {ours:.2f} s {word}"]


@pytest.mark.parametrize(("ours", "word"), [(0.6, "met"), (0.61, "MISSED")])
def test_several_are_judged_by_the_slowest_alone(ours: float, word: str) -> None:
    said = report.verdicts(SEVERAL, {OURS: took(ours), "aws": took(0.4), "azure": took(0.3)})
    assert said == [f"target: wall ≤ 1.50 × the slowest alone (aws): {ours / 0.4:.2f} {word}"]
    assert report.verdicts(SEVERAL, {OURS: took(ours)}) == []


def test_table_and_json_tell_the_same() -> None:
    results: dict[str, dict[str, Summary]] = {
        "floor": {"node -e 0": took(0.03)},
        CASE.name: {OURS: took(0.4), PEER: took(1.2, peak=50.0, code=1)},
    }
    about = {"processor": "Example 9000"}
    starts = {"nothing done": took(0.5).wall}
    table = report.table([CASE], results, about, starts)
    for told in ("Example 9000", CASE.title, "400 [400–400]", "0.33 wall  0.40 peak", "node -e 0", "nothing done"):
        assert told in table
    data = report.as_json([CASE], results, about, starts)
    assert data["cases"][CASE.name]["commands"][PEER] == {
        "wall": [1.2, 1.2, 1.2],
        "cpu": [0.6, 0.6, 0.6],
        "peak": [50.0, 50.0, 50.0],
        "runs": 1,
        "exit": [1],
    }
    assert data["cases"][CASE.name]["targets"] == report.verdicts(CASE, results[CASE.name])
    assert data["container"] == {"nothing done": [0.5, 0.5, 0.5]}


def test_case_names_are_unique_and_a_wrong_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert all(isinstance(case, Case) for case in cases())
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "nonsense"])
    assert "matches none of: lease-1," in capsys.readouterr().err
