"""`keylease credential-process`: what an SDK gets, and what it does not."""

import json
from pathlib import Path

import pytest

from keylease import cli
from tests.conftest import RunKeylease
from tests.leaks import Seeded
from tests.servers.trust import Trust


def test_a_provider_without_such_a_protocol_keeps_no_lease(
    trust: Trust, keylease: RunKeylease, tmp_path: Path, seeded: Seeded
) -> None:
    config = tmp_path / "keylease.yml"
    vault = {"type": "vault", "url": trust.bao.url, "role": trust.role, "mount": trust.mount}
    vault |= {"audience": trust.audience} | ({"namespace": n} if (n := trust.bao.namespace_path) else {})
    config.write_text(json.dumps({"version": 1, "providers": {"v": vault}}))
    done = keylease("credential-process", "--provider", "v", "--config", str(config), env=trust.issuer.github_env())
    assert (done.returncode, done.stdout) == (2, "")
    assert "no tool of vault reads credentials from a program" in done.stderr


def test_an_unknown_provider_is_named_with_those_there_are(keylease: RunKeylease, tmp_path: Path) -> None:
    config = tmp_path / "keylease.yml"
    config.write_text("version: 1\nproviders: {v: {type: vault, url: 'http://127.0.0.1:1', role: r}}\n")
    done = keylease("credential-process", "--provider", "w", "--config", str(config))
    assert done.returncode == 2
    assert "--provider with one of: v" in done.stderr


def test_a_terminal_gets_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert cli.main(["credential-process", "--provider", "v"]) == 2
    assert "its output is for an SDK" in capsys.readouterr().err
