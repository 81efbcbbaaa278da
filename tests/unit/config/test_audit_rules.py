"""Settings of the shipped rules in keylease.yml."""

from pathlib import Path

import pytest

from keylease.config.audits import AuditPlan, load_audit
from keylease.errors import UsageError


def loaded(tmp_path: Path, ages: str) -> AuditPlan:
    path = tmp_path / "keylease.yml"
    path.write_text(f"version: 1\naudit:\n  rules:\n    credential-stale:\n      ages:\n{ages}")
    return load_audit(path)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ('"githb.*"', "did you mean 'github.*'?"),
        ("github.secrets", "did you mean 'github.secret'?"),
        ("gitlab.variable", "use one of: github.secret, "),  # its age is not told: there is nothing to judge
    ],
)
def test_a_limit_for_no_kind_of_credential(tmp_path: Path, kind: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, f"        - {{name: A, max_days: 1}}\n        - {{kind: {kind}, max_days: 30}}\n")
    assert "7: audit.rules.credential-stale.ages[1].kind: no kind of credential" in caught.value.summary
    assert hint in caught.value.diagnostics()


def test_limits_for_some_kinds(tmp_path: Path) -> None:
    ages = (
        '        - {kind: "github.*", max_days: 1}\n        - {kind: "*.key", max_days: 2}\n        - {max_days: 3}\n'
    )
    settings = loaded(tmp_path, ages).policy.settings["credential-stale"]
    assert [(each.kind, each.max_days) for each in settings.ages] == [("github.*", 1), ("*.key", 2), ("*", 3)]
