"""`.env` files."""

from pathlib import Path

import pytest

from keylease.audit.rules.env_file import EnvFile as Rule
from tests.unit.audit.workflow_cases import inventory

VALUE = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("path", "severity", "persona"),
    [
        (".env", "medium", "regular"),
        ("app/.env.production", "high", "regular"),
        (".env.test", "low", "pedantic"),
        ("tests/.env", "low", "pedantic"),
        ("docker.env", "low", "pedantic"),
        (".env.example", "", ""),
        ("sample.env", "", ""),
        (".env.local.example", "", ""),
    ],
)
def test_which_file(path: str, severity: str, persona: str, tmp_path: Path) -> None:
    findings = list(Rule().check(inventory(tmp_path, {path: f"DB_PASSWORD={VALUE}\n"})))
    assert [(each.severity, each.persona) for each in findings] == ([(severity, persona)] if severity else [])
    assert VALUE not in repr(findings)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("SECRET_KEY", True),
        ("APIKEY", True),
        ("GITHUB_TOKEN", True),
        ("db_password", True),
        ("TOKEN_URL", False),
        ("MAX_TOKENS", False),
        ("PASSWORD_MIN_LENGTH", False),
        ("SECRET_NAME", False),
        ("AWS_ACCESS_KEY_ID", False),
        ("PRIMARY_KEY", False),
        ("NEXT_PUBLIC_API_KEY", False),
        ("MONKEY", False),
    ],
)
def test_which_name(name: str, secret: bool, tmp_path: Path) -> None:
    assert bool(list(Rule().check(inventory(tmp_path, {".env": f"{name}=x1y2z3\n"})))) == secret
