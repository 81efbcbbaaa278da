"""What an audit makes of an inventory before and after it is judged."""

from keylease.audit.model import Inventory, Location, Record
from keylease.auditing import unjudged
from keylease.registry import RULES


def test_what_files_hold_and_no_rule_judges_does_not_look_clean() -> None:
    there = Location("a.json", 1)
    inventory = Inventory(
        [Record("file.other", "file://a.json", {}, there), Record("file.env", "file://.env", {}, there)]
    )
    (problem,) = unjudged(inventory, [RULES.load("env-file")])
    assert (problem.kind, problem.what) == ("file.other", "1 of file.other found, which no rule of this version judges")


def test_what_is_collected_to_judge_other_things_by_is_no_problem() -> None:
    assert unjudged(Inventory([Record("github.repository", "github://acme/x", {})]), []) == []
