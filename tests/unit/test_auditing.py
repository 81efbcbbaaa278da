"""What an audit makes of an inventory before and after it is judged."""

import logging

import pytest

from keylease.audit.model import Inventory, Location, NotChecked, Record, Verdict
from keylease.audit.policy import AuditPolicy, Sorted
from keylease.auditing import Outcome, exit_code, unjudged
from keylease.config.audits import AuditPlan
from keylease.errors import PartialError
from keylease.gathering import Gathered, Run
from keylease.masking import Masker
from keylease.pipelines.signals import Signals
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


@pytest.mark.parametrize(("asked", "strict", "fails"), [(True, True, True), (False, True, False), (True, False, False)])
def test_a_rule_that_could_not_judge_is_not_passed_over(asked: bool, strict: bool, fails: bool) -> None:
    verdict = Verdict(not_checked=[NotChecked("aws-iam-admin", "cloudsplaining is not installed", asked=asked)])
    verdict.checked["env-file"] = 1
    policy = AuditPolicy(fail_unchecked=strict)
    outcome = Outcome(AuditPlan(policy), policy, Gathered(), verdict, Sorted(), ["aws-iam-admin"])
    masker = Masker()
    run = Run({}, logging.getLogger("keylease.test"), masker, Signals())
    if fails:
        with pytest.raises(PartialError, match="1 thing could not be checked"):
            exit_code(outcome, run)
    else:
        assert exit_code(outcome, run) == 0
