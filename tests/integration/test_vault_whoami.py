"""What `keylease whoami` prints, pasted to its end into a shell with the real `bao`, lets the job in."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from keylease import commands
from keylease.cli import parser
from keylease.errors import RefusedError
from tests.fakes.github_oidc import github_claims, gitlab_claims
from tests.integration.vault_job import Job, paste
from tests.servers.trust import Trust

Unique = Callable[[str], str]


def whoami(trust: Trust, *words: str) -> int:
    """Run it as a job whose token is minted for the trust's audience."""
    env = {"KEYLEASE_ID_TOKEN": trust.issuer.mint(trust.audience)}
    return commands.run(parser().parse_args(["whoami", *words]), env)


@pytest.mark.parametrize("claims", [github_claims(environment="prod"), gitlab_claims()], ids=["github", "gitlab"])
def test_it_can_be_pasted_to_its_end(
    trust: Trust,
    unique: Unique,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    claims: dict[str, object],
) -> None:
    trust.issuer.claims = claims
    trust.kv.put("ci", {"k": "value-1"})
    role = unique("whoami")
    config = tmp_path / "keylease.yml"
    config.write_text(
        f"version: 1\nproviders: {{v: {{type: vault, url: '{trust.bao.url}', mount: {trust.mount}, role: {role}, "
        f"audience: '{trust.audience}'}}}}\nleases: [{{secret: 'vault://{trust.kv.mount}/ci#k', env: K}}]\n"
    )
    assert whoami(trust, "--config", str(config)) == 0
    config.unlink()
    out = capsys.readouterr().out
    pasted = out[out.index("\n# ") :]
    assert pasted.count("bao policy write") == 2
    assert pasted.splitlines()[-1].startswith("# ") or pasted.endswith("EOF\n")
    paste(trust, pasted, tmp_path)
    job = Job(trust, role=role)
    assert job.value(f"{trust.kv.mount}/ci", "k") == "value-1"
    with pytest.raises(RefusedError):
        job.read(f"{trust.kv.mount}/other")


def test_another_audience_than_that_of_the_token_still_tells_all(
    trust: Trust, tmp_path: Path, capsys: pytest.CaptureFixture[str], unique: Unique
) -> None:
    role = unique("whoami")
    place = ["--url", trust.bao.url, "--mount", trust.mount, "--role", role]
    assert whoami(trust, *place, "--audience", "https://elsewhere.example.com") == 3
    out = capsys.readouterr().out
    assert "no token for audience https://elsewhere.example.com" in out
    assert "repo:acme/trainer" in out
    assert json.dumps([trust.audience]) in out
    paste(trust, out[out.index("\n# ") :], tmp_path)
    Job(trust, role=role).exchange()


def test_what_is_made_up_or_missing_is_said(trust: Trust, capsys: pytest.CaptureFixture[str]) -> None:
    assert whoami(trust, "--url", trust.bao.url, "--audience", trust.audience) == 0
    out = capsys.readouterr().out
    assert "# ci is an example" in out
    assert "# What the job reads is not known here" in out
    assert whoami(trust, "--audience", trust.audience) == 0
    out = capsys.readouterr().out
    assert "no role to show: no server is named; add --url" in out
    assert "bao write" not in out
    assert whoami(trust, "--audience", "https://elsewhere.example.com") == 3
    assert "repo:acme/trainer" in capsys.readouterr().out
