"""A job that prints its secret in every form it can think of, on each platform: none is in the log."""

import base64
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.engine import Engine
from tests.e2e.site import Site, example, script, substituted
from tests.e2e.test_gitlab import Pipeline, gitlab_ci_local, pipeline
from tests.e2e.test_jenkins import Agent, agent, sh_step

__all__ = ["agent", "gitlab_ci_local", "pipeline"]  # fixtures

# `say` prints the label and what it gets on standard input, so that the test sees that each form was really printed.
PRINTS = r"""
say() { printf '%s<' "$1"; cat; printf '>\n'; }
secret="a+b/c $DEPLOY_TOKEN"
printf %s "$DEPLOY_TOKEN" | say raw
printf %s "$DEPLOY_TOKEN" | base64 -w0 | say base64
printf %s "u:$DEPLOY_TOKEN" | base64 -w0 | say basic-auth
printf %s "us:$DEPLOY_TOKEN" | base64 -w0 | say basic-auth-3
printf %s "$DEPLOY_TOKEN" | base64 -w0 | base64 -w0 | say base64-twice
printf %s "$DEPLOY_TOKEN" | base64 -w0 | tr '+/' '-_' | say base64url
printf %s "$DEPLOY_TOKEN" | od -An -v -tx1 | tr -d ' \n' | say hex
printf %s "$DEPLOY_TOKEN" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F | say HEX
python3 -c 'import json, os; print(json.dumps({"k": os.environ["DEPLOY_TOKEN"]}), end="")' | say json
python3 -c 'import os; print(repr(os.environ["DEPLOY_TOKEN"].encode()), end="")' | say python
python3 -c 'import os, urllib.parse as u; print(u.quote(os.environ["DEPLOY_TOKEN"], ""), end="")' | say url
printf '%q' "$DEPLOY_TOKEN" | say shell
printf 'on stderr<%s>\n' "$DEPLOY_TOKEN" >&2
half=$(( ${#DEPLOY_TOKEN} / 2 ))
printf 'halves<%s' "${DEPLOY_TOKEN:0:half}"; sleep 0.3; printf '%s>\n' "${DEPLOY_TOKEN:half}"
"""

LABELS = (
    "raw", "base64", "basic-auth", "basic-auth-3", "base64-twice", "base64url", "hex", "HEX", "json", "python", "url",
    "shell", "on stderr", "halves",
)  # fmt: skip


def forms(token: str) -> dict[str, str]:
    """What must not be in the log."""
    data = token.encode()
    once = base64.b64encode(data)
    return {
        "raw": token,
        "base64": once.decode()[: len(data) * 8 // 6],
        "basic-auth": base64.b64encode(b"u:" + data).decode()[3 : (len(data) + 2) * 8 // 6],
        "basic-auth-3": base64.b64encode(b"us:" + data).decode()[4 : (len(data) + 3) * 8 // 6],
        "base64-twice": base64.b64encode(once).decode()[: len(data) * 16 // 9 - 8],
        "hex": data.hex(),
        "HEX": data.hex().upper(),
        "url": quote(token, safe=""),
    }


def check(log: str, token: str, labels: tuple[str, ...] = LABELS) -> None:
    """Each form was printed, and hidden."""
    for label in labels:
        assert re.search(rf"(?<![\w-]){label}<[^>\n]*\*\*\*[^>\n]*>", log), f"{label} is not there, or not hidden"
    found = [label for label, form in forms(token).items() if label in labels and form in log]
    assert not found, f"not hidden: {found}"


def test_gitlab(pipeline: Pipeline, site: Site) -> None:
    script(pipeline.project / "deploy.sh", PRINTS)
    done = pipeline.run("deploy")
    assert done.returncode == 0, done.stdout
    check(done.stdout, site.token)


@pytest.mark.parametrize("shell", [["sh", "-xe"], ["bash", "-xe"]], ids=["sh", "bash"])
def test_jenkins(agent: Agent, site: Site, shell: list[str]) -> None:
    script(agent.workspace / "deploy.sh", PRINTS)
    code, log = agent.run(sh_step(), shell)
    assert code == 0, log
    check(log, site.token)


def test_github(engine: Engine, site: Site, tmp_path: Path) -> None:
    """With our mask commands alone: act derives no form of its own, GitHub's runner does (docs/masking.md).

    Base64 of the value itself is left to the runner, so here it is not asked for.
    """
    text = substituted(example("github/deploy.yml"), r"keylease/keylease@v0$", "./")
    workspace = engine.workspace(tmp_path / "repo", workflow=text)
    wanted = ("raw", "hex", "HEX", "base64-twice", "on stderr")
    lines = [line for line in PRINTS.splitlines() if not re.search(r"\| say (?!raw|hex|HEX|base64-twice)", line)]
    lines = [line for line in lines if not line.startswith(("half", "printf 'halves"))]
    script(workspace / "deploy.sh", "\n".join(lines) + "\n")
    environment = {**site.issuer.actions_env(), "VAULT_ADDR": site.bao.url, "VALKEY_PORT": str(site.valkey.port)}
    done = engine.run_act(workspace, env=environment, arguments=["--var", f"VAULT_ADDR={site.bao.url}"])
    assert done.exit_code == 0, done.log
    site.seeded.saw("stdout", done.log, "act's log")
    check(done.log, site.token, wanted)
