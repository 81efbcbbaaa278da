"""The whole program with AWS's stores: what keylease.yml names is read and masked; a refusal says what to allow."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunKeylease
from tests.contract.aws_stores import REGION, Stores, parameter, secret, stores
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT

PRINTS = """
import os
for name in ("DB_USER", "DB_PASSWORD", "TOKEN", "MODE"):
    print(name, os.environ[name], os.environ[name][::-1])
print(open(os.environ["KEYTAB"], "rb").read().hex()[-6:], os.environ.get("AWS_SESSION_TOKEN"))
"""


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> Stores:
    """Both stores, and a role that may read what is below `aws.prefix`."""
    return stores(request)


def written(aws: Stores, directory: Path, leases: list[dict[str, Any]]) -> Path:
    config = directory / "keylease.yml"
    provider = {"type": "aws", **aws.settings()}
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": leases}))
    return config


def test_a_command_gets_what_is_read(aws: Stores, keylease: RunKeylease, tmp_path: Path, seeded: Seeded) -> None:
    user, password, token = "svc-trainer-user", seeded.new("password"), seeded.new("token")
    read, _ = secret(aws, "db", json.dumps({"user": user, "password": password}))
    binary, _ = secret(aws, "keytab", b"\x05\x02\xff\xfe")
    parameter(aws, "token", token)
    parameter(aws, "mode", "training-mode", "String")
    leases: list[dict[str, Any]] = [
        {"secret": f"aws-sm://{read.path}#user", "env": "DB_USER"},
        {"secret": f"aws-sm://{read.path}#password", "env": "DB_PASSWORD"},
        {"secret": f"aws-sm://{binary.path}", "env": "KEYTAB", "file": str(tmp_path / "keytab")},
        {"secret": f"aws-ssm:///{aws.prefix}/token", "env": "TOKEN"},
        {"secret": f"aws-ssm:///{aws.prefix}/mode", "env": "MODE", "version": "1"},
    ]
    seeded.allow_file(tmp_path / "keytab")
    config = written(aws, tmp_path, leases)
    env = {**aws.issuer.github_env(), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", PRINTS, env=env)
    assert done.returncode == 0, done.stderr
    assert f"DB_PASSWORD *** {password[::-1]}" in done.stdout
    assert f"MODE *** {'training-mode'[::-1]}" in done.stdout
    assert done.stdout.splitlines()[-1] == "02fffe None", "the role's own keys are not handed over"
    targets = sorted(request.header("X-Amz-Target") for request in aws.proxy.requests)
    assert targets == ["AmazonSSM.GetParameters"] + ["secretsmanager.GetSecretValue"] * 2
    assert aws.front.refused == []


def test_whoami_and_a_refusal_say_what_to_allow(aws: Stores, keylease: RunKeylease, tmp_path: Path) -> None:
    aws.front.policies.clear()
    read, made = secret(aws, "db", "value-1")
    other = parameter(aws, "p", "value-2")
    leases: list[dict[str, Any]] = [
        {"secret": f"aws-sm://{read.path}", "env": "DB"},
        {"secret": f"aws-ssm://{other.path}", "env": "P"},
        {"secret": f"aws-sm://{aws.prefix}/none", "env": "NONE", "required": False},
    ]
    config = written(aws, tmp_path, leases)
    done = keylease("whoami", "--config", str(config), env=aws.issuer.github_env())
    assert done.returncode == 0, done.stderr
    assert f'"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{other.path}"' in done.stdout
    assert f":secret:{read.path}-??????" in done.stdout
    done = keylease("exec", "--config", str(config), "--", "true", env=aws.issuer.github_env())
    assert done.returncode == 4
    assert f'"{made["ARN"]}"' in done.stderr
    assert f'"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{other.path}"' in done.stderr
    assert "value-" not in done.stdout + done.stderr
