"""What of the findings counts: ``audit:`` of keylease.yml, waivers, baselines, and what could not be checked."""

# long file: judging, waivers, baseline and limits on one inventory and one made rule

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keylease.audit.collectors.listing import SKIPPED
from keylease.audit.model import Finding, Inventory, Location, Persona, Problem, Record, Severity
from keylease.audit.policy import AuditPolicy, Waiver, sort
from keylease.audit.rule import Rule
from keylease.config.audits import AuditPlan, baseline_text, load_audit, read_baseline
from keylease.errors import UsageError
from keylease.pipelines.audit import judge
from keylease.registry import RULES, Registry

TODAY = dt.date(2026, 11, 24)


def finding(rule: str = "a-rule", subject: str = "file://x", **more: Any) -> Finding:
    given: dict[str, Any] = {"severity": "high", "confidence": "high", "persona": "regular", **more}
    return Finding(rule=rule, subject=subject, message="m", **given)


# Sorting.


@pytest.mark.parametrize(
    ("fail_on", "severity", "fails"),
    [("high", "high", True), ("high", "critical", True), ("high", "medium", False), ("info", "info", True)],
)
def test_what_fails(fail_on: Severity, severity: Severity, fails: bool) -> None:
    found = sort([finding(severity=severity)], AuditPolicy(fail_on=fail_on), TODAY)
    assert (len(found.failing), len(found.below)) == ((1, 0) if fails else (0, 1))


@pytest.mark.parametrize(("persona", "shown"), [("regular", 1), ("pedantic", 2), ("auditor", 3)])
def test_personas(persona: Persona, shown: int) -> None:
    found = sort(
        [finding(persona=each) for each in ("regular", "pedantic", "auditor")], AuditPolicy(persona=persona), TODAY
    )
    assert (len(found.failing), found.hidden) == (shown, 3 - shown)


def waiver(rule: str = "a-*", subject: str = "file://*", until: dt.date = TODAY) -> Waiver:
    return Waiver(rule, subject, "known", until)


def test_a_waiver_holds_on_its_last_day_and_not_longer() -> None:
    policy = AuditPolicy(fail_on="low", waivers=[waiver()])
    found = sort([finding()], policy, TODAY)
    assert (len(found.waived), found.failing) == (1, [])
    found = sort([finding()], policy, TODAY + dt.timedelta(days=1))
    assert found.waived == []
    assert [each.rule for each in found.failing] == ["a-rule", "waiver-ended"]


def test_a_waiver_that_covers_nothing_is_a_finding() -> None:
    found = sort([finding()], AuditPolicy(waivers=[waiver(rule="b-*")]), TODAY)
    assert [each.rule for each in found.below] == ["waiver-unused"]
    assert len(found.failing) == 1


def test_one_of_two_waivers_is_enough() -> None:
    old = waiver(until=TODAY - dt.timedelta(days=1))
    found = sort([finding()], AuditPolicy(waivers=[old, waiver()]), TODAY)
    assert [each.rule for each in (*found.failing, *found.below)] == ["waiver-ended"]
    assert len(found.waived) == 1


def test_a_baseline_sets_aside_what_it_names_and_nothing_else() -> None:
    old, new = finding(key="1"), finding(key="2")
    found = sort([old, new], AuditPolicy(baseline={old.fingerprint}), TODAY)
    assert (found.baselined, found.failing) == ([old], [new])


def test_what_is_worse_than_in_the_baseline_is_new() -> None:
    old, worse = finding(severity="medium"), finding(severity="critical")
    assert old.fingerprint == worse.fingerprint
    policy = AuditPolicy(baseline={old.fingerprint}, noted={old.fingerprint: "medium"})
    found = sort([old, worse], policy, TODAY)
    assert (found.baselined, found.failing) == ([old], [worse])
    assert sort([finding(severity="low")], policy, TODAY).failing == []


def test_a_fingerprint_knows_rule_subject_and_key_and_no_line() -> None:
    one = finding(location=Location("x", 1))
    assert one.fingerprint == finding(location=Location("x", 9), severity="low").fingerprint
    others = [finding("b-rule"), finding(subject="file://y"), finding(key="k"), finding("a-rul", "efile://x")]
    assert len({one.fingerprint, *(each.fingerprint for each in others)}) == 5


# Judging.


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit.

    most: how many are allowed.
    """

    most: int = 1


class Finds(Rule):
    """Finds every record."""

    id = "finds-all"
    title = "There is something"
    severity = "medium"
    needs = ("file.env",)
    why = fix = "Because."
    Settings = Limit

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One for each."""
        for record in inventory.of("file.env"):
            yield self.finding(record, f"more than {self.settings.most}")


RECORD = Record("file.env", "file://.env", {}, Location(".env", 1))


def test_judging() -> None:
    verdict = judge(Inventory([RECORD], {"file.env"}), [Finds()], AuditPolicy())
    assert [each.message for each in verdict.findings] == ["more than 1"]
    assert verdict.checked == {"finds-all": 1}
    assert verdict.judged == 1
    assert verdict.not_checked == []


def test_a_policys_severity_takes_the_place_of_the_rules() -> None:
    verdict = judge(Inventory([RECORD], {"file.env"}), [Finds()], AuditPolicy(severities={"finds-all": "critical"}))
    assert [each.severity for each in verdict.findings] == ["critical"]


class Special(Finds):
    """Finds the same, and tells it better."""

    id = "finds-special"
    covers = ("finds-all",)


class Hidden(Special):
    """Finds the same for others."""

    id = "finds-hidden"
    persona = "auditor"


@pytest.mark.parametrize(
    ("special", "policy", "told"),
    [
        (Special, AuditPolicy(), {"finds-special"}),
        (Special, AuditPolicy(off={"finds-special"}), {"finds-all"}),
        (Special, AuditPolicy(severities={"finds-special": "low"}), {"finds-special", "finds-all"}),
        (Special, AuditPolicy(severities={"finds-all": "high"}), {"finds-special", "finds-all"}),
        (Hidden, AuditPolicy(), {"finds-hidden", "finds-all"}),
    ],
)
def test_what_a_special_rule_tells_as_loud_the_general_one_does_not(
    special: type[Rule], policy: AuditPolicy, told: set[str]
) -> None:
    verdict = judge(Inventory([RECORD], {"file.env"}), [Finds(), special()], policy)
    assert {each.rule for each in verdict.findings} == told
    assert set(verdict.checked) == {"finds-all", special.id} - set(policy.off)


def test_a_special_rule_covers_its_own_record_alone() -> None:
    class Elsewhere(Special):
        """Finds one of two."""

        def check(self, inventory: Inventory) -> Iterator[Finding]:
            """The first."""
            yield self.finding(inventory.records[0], "here")

    other = Record("file.env", "file://.env", {}, Location(".env", 2))
    verdict = judge(Inventory([RECORD, other], {"file.env"}), [Finds(), Elsewhere()], AuditPolicy())
    assert [(each.rule, each.location) for each in verdict.findings] == [
        ("finds-all", other.location),
        ("finds-special", RECORD.location),
    ]


def test_a_rule_without_its_inventory_is_not_checked() -> None:
    verdict = judge(Inventory(), [Finds()], AuditPolicy())
    assert (verdict.checked, [each.rule for each in verdict.not_checked]) == ({}, ["finds-all"])


@pytest.mark.parametrize("kind", ["file.env", ""])
def test_a_rule_with_half_its_inventory_judges_that_and_is_not_checked(kind: str) -> None:
    problem = Problem(kind, "it can't be read", "let it", Location("b.env"))
    verdict = judge(Inventory([RECORD], {"file.env"}, [problem]), [Finds()], AuditPolicy())
    assert len(verdict.findings) == 1
    assert [each.why for each in verdict.not_checked] == ["not all of it: b.env: it can't be read"]


def test_a_rule_that_saw_nothing_of_its_inventory_is_not_said_to_have_checked_a_part() -> None:
    verdict = judge(Inventory([], {"file.env"}, [Problem("file.env", "it refused")]), [Finds()], AuditPolicy())
    assert [each.why for each in verdict.not_checked] == ["it refused"]
    assert (verdict.checked, verdict.judged) == ({}, 0)


def test_another_kinds_problem_is_none_of_a_rule() -> None:
    verdict = judge(Inventory([RECORD], {"file.env"}, [Problem("file.workflow", "x")]), [Finds()], AuditPolicy())
    assert verdict.not_checked == []
    assert len(verdict.problems) == 1


class Compares(Finds):
    """Looks at something besides."""

    also = ("vault.policy",)


@pytest.mark.parametrize(("records", "told"), [([RECORD], ["not all of it: it can't be read"]), ([], [])])
def test_what_a_rule_looks_at_besides_counts_where_there_is_something_to_judge(
    records: list[Record], told: list[str]
) -> None:
    inventory = Inventory(records, {"file.env"}, [Problem("vault.policy", "it can't be read")])
    verdict = judge(inventory, [Compares()], AuditPolicy())
    assert [each.why for each in verdict.not_checked] == told
    assert len(verdict.findings) == len(records)


class Joins(Rule):
    """Compares what has the same name."""

    id, title, severity = "joins", "x", "high"
    needs = ("vault.jwt_role",)
    also = ("vault.policy",)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Of roles whose policy is open."""
        bad = {each.facts["name"] for each in inventory.of("vault.policy") if each.facts["open"]}
        for record in inventory.of("vault.jwt_role"):
            if record.facts["policy"] in bad:
                yield self.finding(record, "x")


def test_what_has_one_name_on_two_servers_is_kept_apart() -> None:
    """What is of no server, a file, may be about any of them."""

    def vault(server: str, *, is_open: bool) -> list[Record]:
        at = f"vault://{server}"
        return [
            Record("vault.jwt_role", f"{at}/jwt_role/r", {"policy": "deploy", "server": server}),
            Record("vault.policy", f"{at}/policy/deploy", {"name": "deploy", "open": is_open, "server": server}),
        ]

    one, other = vault("one", is_open=True), vault("other", is_open=False)
    file = Record("vault.jwt_role", "file://role.json", {"policy": "deploy"})
    inventory = Inventory([*one, *other, file], {"vault.jwt_role", "vault.policy"})
    verdict = judge(inventory, [Joins()], AuditPolicy())
    assert sorted(each.subject for each in verdict.findings) == ["file://role.json", "vault://one/jwt_role/r"]
    assert verdict.checked == {"joins": 3}
    written = Record("vault.policy", "file://p.hcl", {"name": "deploy", "open": True})
    inventory = Inventory([*other, *vault("third", is_open=False), written], inventory.kinds)
    found = judge(inventory, [Joins()], AuditPolicy()).findings
    assert sorted(each.subject for each in found) == ["vault://other/jwt_role/r", "vault://third/jwt_role/r"]


def test_a_file_of_several_kinds_is_told_of_once() -> None:
    one, two = (
        Problem(kind, "it can't be read", "let it", Location("main.tf")) for kind in ("file.env", "vault.policy")
    )
    other = Problem("file.env", "it can't be read", "let it", Location("b.tf"))
    verdict = judge(Inventory([RECORD], {"file.env"}, [one, two, other, one, other]), [Finds()], AuditPolicy())
    assert verdict.problems == [msgspec.structs.replace(one, kind=""), other]
    assert len(verdict.not_checked) == 1


# keylease.yml.


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    table: Registry[Rule] = Registry("rule", {"finds-all": f"{__name__}:Finds"})
    monkeypatch.setattr(RULES, "_table", table._table)


def loaded(tmp_path: Path, text: str) -> AuditPlan:
    path = tmp_path / "keylease.yml"
    path.write_text("version: 1\n" + text)
    return load_audit(path)


def test_nothing_said(tmp_path: Path) -> None:
    plan = loaded(tmp_path, "")
    assert plan.policy == AuditPolicy()
    assert (plan.baseline, plan.skip) == ("", SKIPPED)
    assert loaded(tmp_path, "audit: {}\n").policy == AuditPolicy(waivers=())


def test_everything_said(tmp_path: Path) -> None:
    plan = loaded(
        tmp_path,
        """
audit:
  preset: strict
  fail_on: low
  persona: auditor
  fail_unchecked: false
  baseline: known.json
  skip: [third_party]
  rules:
    finds-all: {severity: low, most: 3}
  waivers:
    - {rule: finds-*, subject: "file://*.env", reason: known, until: "2027-03-31"}
""",
    )
    policy = plan.policy
    assert (policy.fail_on, policy.persona, policy.fail_unchecked) == ("low", "auditor", False)
    assert (policy.severities, policy.settings) == ({"finds-all": "low"}, {"finds-all": Limit(most=3)})
    assert policy.waivers == (Waiver("finds-*", "file://*.env", "known", dt.date(2027, 3, 31)),)
    assert (plan.baseline, plan.skip) == (str(tmp_path / "known.json"), ["third_party"])


def test_strict(tmp_path: Path) -> None:
    policy = loaded(tmp_path, "audit: {preset: strict}\n").policy
    assert (policy.fail_on, policy.persona, policy.fail_unchecked) == ("medium", "pedantic", True)


@pytest.mark.parametrize("word", ["false", '"off"'])
def test_a_rule_that_is_off(tmp_path: Path, word: str) -> None:
    assert loaded(tmp_path, f"audit: {{rules: {{finds-all: {word}}}}}\n").policy.off == {"finds-all"}


WAIVER = 'audit:\n  waivers:\n    - rule: finds-all\n      subject: "file://x"\n'


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("audit: []\n", "2: audit: must be a mapping (KEY: VALUE), not a list"),
        ("audit:\n  failon: low\n", "3: audit.failon: unknown key"),
        ("audit:\n  fail_on: bad\n", "3: audit.fail_on: is not one of the values it can have"),
        ("audit:\n  preset: loose\n", "3: audit.preset: is not one of the values it can have"),
        ("audit:\n  skip: x\n", "3: audit.skip: must be a list, not text"),
        ("audit:\n  rules:\n    find-all: low\n", "4: audit.rules.find-all: there is no such rule"),
        ("audit:\n  rules:\n    finds-all: loud\n", "4: audit.rules.finds-all: must be false"),
        ("audit:\n  rules:\n    finds-all: true\n", "4: audit.rules.finds-all: must be false"),
        ("audit:\n  rules:\n    finds-all:\n      severity: 1\n", "5: audit.rules.finds-all.severity: must be false"),
        ("audit:\n  rules:\n    finds-all:\n      mist: 1\n", "5: audit.rules.finds-all.mist: unknown key"),
        ("audit:\n  rules:\n    finds-all:\n      most: a\n", "5: audit.rules.finds-all.most: must be a whole number"),
        (WAIVER + '      until: "2027-01-01"\n', "4: audit.waivers[0].reason: is missing"),
        (WAIVER + "      reason: r\n", "4: audit.waivers[0].until: is missing"),
        (WAIVER + '      reason: ""\n      until: "2027-01-01"\n', "6: audit.waivers[0].reason: must not be empty"),
        (WAIVER + '      reason: r\n      until: "2027-02-30"\n', "7: audit.waivers[0].until: must be a date"),
        (WAIVER + "      reason: r\n      until: 2027-02-03\n", "7: audit.waivers[0].until: a plain word or number"),
        (WAIVER + '      reason: r\n      until: "20270203"\n', "7: audit.waivers[0].until:"),
        *(
            (
                WAIVER.replace('"file://x"', subject) + '      reason: r\n      until: "2027-01-01"\n',
                "5: audit.waivers[0].subject: no subject is like that",
            )
            for subject in (".env", "infra/*", '"./x"')
        ),
        (
            WAIVER.replace("finds-all", "find-all") + '      reason: r\n      until: "2027-01-01"\n',
            "4: audit.waivers[0].rule: there is no such rule",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, summary: str) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, text)
    assert caught.value.summary.startswith(f"{tmp_path}/keylease.yml:{summary}")


def test_the_schema_knows_rules_and_their_settings() -> None:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    from keylease.config.schema import json_schema

    validator = Draft202012Validator(json_schema())
    waived = [{"rule": "*", "subject": "*", "reason": "r", "until": "2027-01-01"}]
    good: list[Any] = [False, "off", "low", {"severity": "low", "most": 2}]
    for rule in good:
        assert validator.is_valid({"version": 1, "audit": {"rules": {"finds-all": rule}, "waivers": waived}})
    bad: list[Any] = [True, "loud", {"mist": 1}, {"most": "x"}]
    for rule in bad:
        assert not validator.is_valid({"version": 1, "audit": {"rules": {"finds-all": rule}}})
    assert not validator.is_valid({"version": 1, "audit": {"rules": {"no-rule": "low"}}})
    assert not validator.is_valid({"version": 1, "audit": {"waivers": [{**waived[0], "until": "soon"}]}})
    del waived[0]["reason"]
    assert not validator.is_valid({"version": 1, "audit": {"waivers": waived}})


# Baselines.


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    one, other = finding(), finding(key="2")
    text = baseline_text([other, one, finding(severity="info"), one])
    (tmp_path / "b.json").write_text(text)
    assert read_baseline(str(tmp_path / "b.json")) == {
        one.fingerprint: one.severity,
        other.fingerprint: other.severity,
    }
    assert text == baseline_text([one, other])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "keylease-audit-baseline", "version": 2, "findings": []}', "\xff",
     '{"format": "keylease-audit-baseline", "version": 1, "findings": [1]}',
     '{"format": "keylease-audit-baseline", "version": 1, "findings": [{"fingerprint": "a", "severity": "x"}]}',
     '{"format": "keylease-audit-baseline", "version": 1, "findings": [{"fingerprint": 1}]}'],
)  # fmt: skip
def test_no_baseline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match="is no baseline of this version"):
        read_baseline(str(path))


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no baseline") as caught:
        read_baseline(str(tmp_path / "b.json"))
    assert "--write-baseline" in caught.value.change


def test_a_waiver_of_a_rule_that_was_not_run_is_not_unused() -> None:
    policy = AuditPolicy(fail_on="info", waivers=[waiver(rule="github-*")])
    for others in ([], ["vault-no-audit"]):
        assert [each.rule for each in sort([], policy, TODAY, not_checked=others).failing] == ["waiver-unused"]
    assert sort([], policy, TODAY, not_checked=["github-secret-unused"]).failing == []
