"""gitlab-variable-exposed and gitlab-job-token-open."""

from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.audit.rules.gitlab_job_token_open import JobTokenOpen
from keylease.audit.rules.gitlab_variable_exposed import VariableExposed


@pytest.mark.parametrize(
    ("facts", "persona"),
    [
        ({"name": "NPM_TOKEN", "masked": False, "protected": True}, "regular"),
        ({"name": "NPM_TOKEN", "masked": True, "protected": False}, "pedantic"),
        ({"name": "NPM_TOKEN", "masked": False, "protected": True, "file": True}, ""),
        ({"name": "NPM_TOKEN"}, ""),
        ({"name": "TOKEN_URL", "masked": False, "protected": False}, ""),
    ],
)
def test_variables(facts: dict[str, Any], persona: str) -> None:
    found = list(VariableExposed().check(Inventory([Record("gitlab.variable", "gitlab://a/b/variable/x", facts)])))
    assert [each.persona for each in found] == ([persona] if persona else [])


@pytest.mark.parametrize("limited", [True, None, "false"])
def test_job_tokens_that_are_limited_or_not_known(limited: Any) -> None:
    record = Record("gitlab.project", "gitlab://a/b", {"path": "a/b", "job_token_inbound_limited": limited})
    assert list(JobTokenOpen().check(Inventory([record]))) == []
