"""The action's `audit` inputs: what they ask for, and every complaint."""

import subprocess
import sys

import pytest

from keylease.config.modes import AuditInputs, audit_from_inputs
from keylease.errors import UsageError
from tests import environment
from tests.unit.config.test_sync_inputs import OF_A_FILE, inputs


@pytest.mark.parametrize("env", [{}, inputs(audit=""), inputs(audit="off"), inputs(audit=" False\n", summary="false")])
def test_off_is_the_default(env: dict[str, str]) -> None:
    assert audit_from_inputs(env) is None


def test_nothing_but_the_command() -> None:
    for command in ("true", "offline"):
        expected = AuditInputs(command, "", "", None, [], [], "", True, "")
        assert audit_from_inputs(inputs(audit=command)) == expected
    assert audit_from_inputs(inputs(audit="True", sync="off", host_paths="container=;workspace=/w;temp=/t"))


def test_all_that_each_can_have() -> None:
    given = {"config": "ci/audit.yml", "audit_path": "src", "summary": "false", "deadline": "2h"}
    judging = {"audit_fail_on": "low", "audit_reports": "a.sarif  b.json"}
    assert audit_from_inputs(inputs(audit="true", audit_shard="2/4", **given, **judging)) == AuditInputs(
        "true", "src", "ci/audit.yml", "low", [], ["a.sarif", "b.json"], "2/4", False, "2h"
    )
    merged = audit_from_inputs(inputs(audit="true", audit_inventory="of acme/1.json\n\n of acme/2.json\n"))
    assert merged
    assert merged.snapshots == ["of acme/1.json", "of acme/2.json"]
    collected = audit_from_inputs(inputs(audit="collect", audit_inventory="i.json", audit_shard="1/2", **given))
    assert collected == AuditInputs("collect", "src", "ci/audit.yml", None, ["i.json"], [], "1/2", False, "2h")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"audit": "yes"}, "audit: must be true, offline, collect or off"),
        ({"audit_reports": "a.sarif"}, "audit-reports: goes with `audit: true`"),
        ({"audit": "off", "audit_fail_on": "low"}, "audit-fail-on: goes with"),
        ({"audit": "true", "sync": "plan"}, "sync: can't go together with `audit`"),
        *(({"audit": "true", name: "x"}, f"{name}: can't go together with `audit`") for name in OF_A_FILE),
        ({"audit": "true", "sync_check": "true"}, "sync-check: can't go together with `audit`"),
        *(
            ({"audit": "offline", name: "true"}, f"{name}: can't go together with `audit`, which gives back")
            for name in ("revoke", "strict-revoke", "allow-names")
        ),
        ({"audit": "true", "authPayload": "{}"}, "authPayload: is an input of vault-action"),
        ({"audit": "true", "config": "version: 1\naudit: {}\n"}, "config: must be a path"),
        ({"audit": "true", "audit_fail_on": "worst"}, "audit-fail-on: must be one of: info, low"),
        ({"audit": "collect"}, "audit-inventory: must name the one file"),
        ({"audit": "collect", "audit_inventory": "a.json b.json"}, "audit-inventory: must name the one file"),
        ({"audit": "collect", "audit_inventory": "a", "audit_reports": "b"}, "audit-reports: can't go together"),
        ({"audit": "offline", "audit_shard": "1/2"}, "audit-shard: is for what is collected"),
        ({"audit": "true", "audit_inventory": "a", "audit_shard": "1/2"}, "audit-shard: is for what is collected"),
        ({"audit": "true", "summary": "2"}, "summary: must be true or false"),
        ({"audit": "true", "deadline": "soon"}, "deadline: must be a duration"),
        ({"audit": "true", "deadline": "0"}, "deadline: must be more than 0"),
    ],
)
def test_complaints_name_the_input(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        audit_from_inputs(inputs(**given))
    assert said in caught.value.summary


def test_a_lease_loads_nothing_of_it() -> None:
    code = (
        "import sys\nfrom keylease.config.modes import audit_from_inputs\nassert audit_from_inputs({}) is None\n"
        "print([name for name in sys.modules if name.startswith(('keylease.audit', 'keylease.gathering'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment.clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
