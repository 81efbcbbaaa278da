"""The action in its real container, run by act: examples/github/deploy.yml as it stands, and what a job can ask for.

What act can't show: it hands no state to a container's post step (so nothing is revoked here; see
test_runner_container.py), doesn't check `permissions:`, masks no encoded forms of a value, and misreads an
`add-mask` command with `::` or `%0A` in its value; all of which the runner does otherwise.
"""

import base64
import re
from pathlib import Path

from tests.e2e.engine import Engine, Result
from tests.e2e.site import REPOSITORY, Site, example, script, sha256, substituted

USES = r"keylease/keylease@v0$"

DEPLOY = """\
show token "$DEPLOY_TOKEN"
echo "in the log they are <$DEPLOY_TOKEN> <$DB_USERNAME> <$DB_PASSWORD>"
echo "valkey says $(database_answers)"
"""

CONFIG = """\
version: 1
providers:
  vault: {type: vault, role: deploy}
leases:
  - {secret: vault://secret/wide#key, env: PRIVATE_KEY, output: key}
  - {secret: vault://secret/wide#odd, env: ODD}
  - {secret: vault://secret/wide#nested.password, output: nested-password}
  - {secret: vault://secret/wide#flag, env: FLAG}
  - {secret: vault://secret/wide#keystore, decode: base64, file: keystore.p12, env: KEYSTORE}
  - {secret: vault://secret/wide#key, file: build/id_ed25519, env: KEY_FILE}
"""

WIDE = """\
on: push
permissions: {id-token: write}
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: lease
        uses: ./
        with: {config: keylease.yml}
      - run: ./check.sh
        shell: bash
        env:
          KEY_OUTPUT: ${{ steps.lease.outputs.key }}
          NESTED: ${{ steps.lease.outputs.nested-password }}
"""

CHECK = """\
show key "$PRIVATE_KEY"
show key-output "$KEY_OUTPUT"
show odd "$ODD"
show nested "$NESTED"
show keystore "$(base64 -w0 "$KEYSTORE")"
show key-file "$(cat "$KEY_FILE"; echo .)"
echo "one of them is <$NESTED>"
echo "the flag is $FLAG"
stat -c 'mode=%a name=%n' "$KEYSTORE" "$KEY_FILE"
grep id_ed25519 .git/info/exclude
"""

REFUSED = """\
on: push
permissions: {id-token: write}
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: lease
        uses: ./
        with:
          role: other
          secrets: secret/data/ci token | DEPLOY_TOKEN
      - run: echo "this step must not run"
      - if: always()
        run: echo "variable <${DEPLOY_TOKEN-unset}> output <${{ steps.lease.outputs.DEPLOY_TOKEN }}>"
      - if: always()
        run: echo "outcome ${{ steps.lease.outcome }}"
"""


def run(engine: Engine, site: Site, workspace: Path, *arguments: str) -> Result:
    """act with the job's identity and the server's address; its output is searched for the seeded values."""
    environment = {**site.issuer.actions_env(), "VAULT_ADDR": site.bao.url, "VALKEY_PORT": str(site.valkey.port)}
    done = engine.run_act(workspace, env=environment, arguments=["--var", f"VAULT_ADDR={site.bao.url}", *arguments])
    site.seeded.saw("stdout", done.log, "act's log")
    return done


def test_the_example_runs_as_it_stands(engine: Engine, site: Site, tmp_path: Path) -> None:
    text = example("github/deploy.yml")
    workspace = engine.workspace(tmp_path / "repo", workflow=substituted(text, USES, "./"))
    script(workspace / "deploy.sh", DEPLOY)

    done = run(engine, site, workspace)

    assert done.exit_code == 0, done.log
    assert "Job succeeded" in done.log
    assert f"token sha256={sha256(site.token)}" in done.log
    assert "in the log they are <***> <***> <***>" in done.log
    assert "valkey says +OK" in done.log
    (request,) = site.issuer.token_requests()
    assert request.query["audience"] == [site.bao.url]
    # The step's report: names and sources, and no value.
    assert "Keylease: 3 values delivered" in done.log
    assert re.search(r"login to vault +deploy ", done.log)
    assert re.search(r"DB_PASSWORD +database/creds/app +environment variable, output DB_PASSWORD", done.log)
    # One login, one request for both database fields, one user: with the state the post step would have ended both.
    assert len(site.accessors()) == len(site.users()) == 1
    (user,) = site.users()
    assert user not in done.log


def test_the_readme_shows_what_the_tests_run() -> None:
    """This workflow, and the examples of test_gitlab.py and test_jenkins.py."""
    readme = (REPOSITORY / "README.md").read_text()
    workflow = example("github/deploy.yml")
    for text in (
        workflow[workflow.index("jobs:") :],
        *map(example, ("gitlab/.gitlab-ci.yml", "keylease.yml", "Jenkinsfile")),
    ):
        assert text in readme


def test_delivers_variables_outputs_files_and_a_summary(engine: Engine, site: Site, tmp_path: Path) -> None:
    seeded = site.seeded
    key = f"-----BEGIN KEY-----\n{seeded.new('line1')}\n  {seeded.new('line2')} 100%25 %\n-----END KEY-----\n"
    odd = f"  {seeded.new('odd')} \"quoted\" 'single' $HOME `id` \\n 100% é 🔑 EOF<<EOF="
    nested, keystore = seeded.new("nested"), b"\0\xff\xfe" + seeded.new("keystore").encode() + b"\r\n\0"
    encoded = base64.b64encode(keystore).decode()
    seeded.add(encoded)
    site.put("wide", {"key": key, "odd": odd, "nested": {"password": nested}, "flag": "true", "keystore": encoded})
    workspace = engine.workspace(tmp_path / "repo", workflow=WIDE, files={"keylease.yml": CONFIG})
    script(workspace / "check.sh", CHECK)

    done = run(engine, site, workspace)

    assert done.exit_code == 0, done.log
    expected = {
        "key": key,
        "key-output": key,
        "odd": odd,
        "nested": nested,
        "keystore": encoded,
        "key-file": key + ".",
    }
    shown = dict(re.findall(r"(\S+) sha256=([0-9a-f]{64})", done.log))
    assert shown == {name: sha256(value) for name, value in expected.items()}
    assert "one of them is <***>" in done.log
    # A value that would blank out half the log is not masked, and that is said.
    assert "the flag is true" in done.log
    assert "vault://secret/wide#flag: the value is too short or too common to be masked" in done.log
    files = re.findall(r"mode=(\d+) name=(\S+)", done.log)
    assert [mode for mode, _ in files] == ["600", "600"]
    assert files[0][1].endswith("/keystore.p12")
    assert files[1][1] == f"{workspace}/build/id_ed25519"
    assert "| /build/id_ed25519\n" in done.log
    assert "Summary - ### Keylease" in done.log
    assert "| login to vault | deploy |" in done.log


def test_a_refusal_explains_itself_and_hands_nothing_over(engine: Engine, site: Site, tmp_path: Path) -> None:
    """What was leased before a refusal is given back: test_runner_container.py has those cases."""
    workspace = engine.workspace(tmp_path / "repo", workflow=REFUSED)
    done = run(engine, site, workspace)
    assert done.exit_code != 0
    assert "Job failed" in done.log
    log = re.sub(r"(?m)^\[[^]]*\]\s*(\|\s)?", "", done.log)
    # What the job is, and the role to create.
    assert 'auth/jwt refused the login as role other: role "other" could not be found' in log
    assert "bao write auth/jwt/role/other" in log
    assert '"bound_claims": {"repository_owner_id": "6539", "repository_id": "817264"' in log
    assert "errors.md#vault-login" in log
    assert "this step must not run" not in log.replace('echo "this step', "")
    assert "variable <unset> output <>" in log
    assert "outcome failure" in log
    assert site.nothing_alive()
