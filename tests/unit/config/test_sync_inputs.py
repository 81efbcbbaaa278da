"""The action's `sync` inputs: what they ask for, every complaint, and that a lease loads nothing of sync."""

import subprocess
import sys
from pathlib import Path

import pytest

from keylease.config.modes import SyncInputs, sync_from_inputs, sync_plan
from keylease.errors import UsageError
from tests import environment

FILE = """\
version: 1
providers:
  vault: {type: vault, url: https://vault.example.com, role: sync}
targets:
  github: {type: github, token_env: SYNC_TOKEN}
ledger:
  key: vault://secret/keylease#sync_key
sync:
  - {name: ml, from: vault://secret/ml/*, to: github://acme/trainer}
"""
ENV = {"SYNC_TOKEN": "not-a-token"}


def inputs(**given: str) -> dict[str, str]:
    """As the runner hands them over; `_` stands for `-`."""
    return {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()}


@pytest.mark.parametrize("env", [{}, inputs(sync=""), inputs(sync="off"), inputs(sync=" off\n", summary="false")])
def test_off_is_the_default(env: dict[str, str]) -> None:
    assert sync_from_inputs(env) is None


def test_nothing_but_the_command() -> None:
    assert sync_from_inputs(inputs(sync="plan")) == SyncInputs("plan", "", "", "", False, True, None)


def test_all_that_a_plan_and_an_apply_can_have() -> None:
    given = {"config": "ci/sync.yml", "sync_shard": "2/4", "summary": "false", "deadline": "2h"}
    assert sync_from_inputs(inputs(sync="plan", sync_check="true", **given)) == SyncInputs(
        "plan", "ci/sync.yml", "", "2/4", True, False, 7200
    )
    assert sync_from_inputs(inputs(sync="apply", sync_plan="plan.json")) == SyncInputs(
        "apply", "", "plan.json", "", False, True, None
    )
    # What only the runner can know is always there.
    assert sync_from_inputs(inputs(sync="apply", host_paths="container=;workspace=/w;temp=/t", job_workflow_ref="x"))


PROVIDERS = ("url", "role", "mount", "method", "audience", "namespace", "secrets", "token", "role-id", "secret-id")
TLS = ("ca-certificate", "client-certificate", "client-key", "tls-verify", "tlsSkipVerify", "timeout", "retries")
DELIVERY = ("export-env", "export-token", "output-token", "ignore-not-found", "secretEncodingType")
OTHERS = ("kubernetes-token-file", "path", "exportEnv")
OF_A_FILE = (*PROVIDERS, *TLS, *DELIVERY, *OTHERS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sync": "aply"}, "sync: must be plan, apply or off"),
        ({"sync": "adopt"}, "sync: must be plan, apply or off"),
        ({"sync_plan": "plan.json"}, "sync-plan: goes with"),
        ({"sync_shard": "1/2"}, "sync-shard: goes with"),
        ({"sync": "off", "sync_check": "false"}, "sync-check: goes with"),
        *(({"sync": "plan", name: "x"}, f"{name}: can't go together with `sync`") for name in OF_A_FILE),
        *(
            ({"sync": "apply", name: "true"}, f"{name}: can't go together with `sync`, which gives back")
            for name in ("revoke", "strict-revoke", "allow-names")
        ),
        ({"sync": "apply", "authPayload": "{}"}, "authPayload: is an input of vault-action"),
        ({"sync": "plan", "sync_plan": "plan.json"}, "sync-plan: is what `sync: apply` holds to"),
        ({"sync": "apply", "sync_check": "true"}, "sync-check: goes with `sync: plan`"),
        ({"sync": "apply", "sync_plan": "p", "sync_shard": "1/2"}, "sync-shard: can't go together with `sync-plan`"),
        ({"sync": "plan", "sync_check": "perhaps"}, "sync-check: must be true or false"),
        ({"sync": "plan", "summary": "2"}, "summary: must be true or false"),
        ({"sync": "plan", "deadline": "soon"}, "deadline: must be a duration"),
        ({"sync": "plan", "deadline": "0"}, "deadline: must be more than 0"),
    ],
)
def test_complaints_name_the_input(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        sync_from_inputs(inputs(**given))
    assert said in caught.value.summary


def wanted(**given: str) -> SyncInputs:
    found = sync_from_inputs(inputs(sync="plan", **given))
    assert found
    return found


@pytest.mark.parametrize("how", ["default", "path", "text"])
def test_the_file_by_default_by_path_and_as_text(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "keylease.yml" if how == "default" else "other.yml"
    if how != "text":
        Path(name).write_text(FILE, encoding="utf-8")
    given = {} if how == "default" else {"config": FILE if how == "text" else name}
    plan = sync_plan(wanted(**given), ENV)
    assert [each.name for each in plan.syncs] == ["ml"]
    assert plan.plan.deadline == 3600
    assert sync_plan(wanted(**given, deadline="3h"), ENV).plan.deadline == 10800


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"nosuch\.yml"):
        sync_plan(wanted(config="nosuch.yml"), ENV)


def test_the_files_deadline_and_the_inputs_must_agree() -> None:
    text = FILE + "settings: {deadline: 1h}\n"
    assert sync_plan(wanted(config=text, deadline="60m"), ENV).plan.deadline == 3600
    with pytest.raises(UsageError, match=r"deadline: says something else than settings\.deadline in config"):
        sync_plan(wanted(config=text, deadline="3h"), ENV)


ACTION = """
from keylease.action import main
arguments = {'GITHUB_ACTIONS': 'true', 'INPUT_URL': 'http://127.0.0.1:1', 'INPUT_METHOD': 'token',
    'INPUT_RETRIES': '0', 'INPUT_TOKEN': 'not-a-token', 'INPUT_SECRETS': 'secret/data/ci a | A'}
"""
PROGRAM = """
import os
from keylease.cli import main
os.environ['VAULT_TOKEN'] = 'not-a-token'
arguments = ['exec', '--url', 'http://127.0.0.1:1', '--method', 'token', '--deadline', '1s',
    '--secret', 'secret/data/ci a | A', '--', 'true']
"""


@pytest.mark.parametrize("start", [ACTION, PROGRAM], ids=["action", "program"])
def test_a_lease_loads_nothing_of_sync(start: str) -> None:
    """Up to the refused connection, in a new interpreter."""
    code = (
        f"import sys\n{start}\ncode = main(arguments)\n"
        "parts = {'sync', 'syncing', 'targets', 'sync_report', 'sync_apply', 'syncs', 'sync_document'}\n"
        "heavy = {'github', 'gitlab', 'nacl', 'cryptography', 'cffi', 'sqlite3'}\n"
        "found = [n for n in sys.modules if n.partition('.')[0] in heavy]\n"
        "found += [n for n in sys.modules if n.startswith('keylease') and set(n.split('.')) & parts]\n"
        "print('\\n', [int(code), 'keylease.exchange.vault' in sys.modules, found], sep='', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment.clean_environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.splitlines()[-1] == "[5, True, []]", done.stderr + done.stdout
