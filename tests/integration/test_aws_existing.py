"""AWS credentials that a job has already: what is said of them, what boto3 makes of them, and what takes them out."""

import json
import sys
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ProfileNotFound  # type: ignore[import-untyped]

from keylease.errors import IdentityError
from keylease.vendors.aws_existing import can_be_empty, existing, warnings
from keylease.vendors.aws_settings import AwsProfile
from tests.conftest import RunKeylease
from tests.contract.harness_aws import AwsHarness, make
from tests.servers.seaweedfs import AUDIENCE, READER, ROLE

OLD = {
    "AWS_ACCESS_KEY_ID": "AKIAOLD",
    "AWS_SECRET_ACCESS_KEY": "old",
    "AWS_SESSION_TOKEN": "old",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
    "AWS_ROLE_ARN": ROLE,
}
PROGRAM = (
    "import boto3, os\n"
    "print(','.join(sorted(name for name in os.environ if name.startswith('AWS_'))))\n"
    "client = boto3.Session().client('sts', endpoint_url=os.environ['STS'])\n"
    "try:\n    print(client.get_caller_identity()['Arn'])\n"
    "except Exception as error:\n    print(type(error).__name__)\n"
)


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> AwsHarness:
    """SeaweedFS behind a proxy."""
    return make(request)


OF_A_JOB = ("repository_owner_id", "job_workflow_ref", "repository", "repository_id")
"""Claims that a pod's token has not."""


def run(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path, env: dict[str, str], **settings: Any) -> Any:
    provider = {"type": "aws", "region": "eu-central-1", "url": aws.server.url, **settings}
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**aws.issuer.github_env(), "RUNNER_TEMP": str(tmp_path), "STS": aws.server.url, **env}
    done = keylease("exec", "--config", str(config), "--", sys.executable, str(program), env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_all_of_the_kind_is_taken_out(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    done = run(aws, keylease, tmp_path, {**OLD, "AWS_PROFILE": "mine"}, role_arn=ROLE, unset_existing=True)
    names, arn = done.stdout.splitlines()
    assert names == "AWS_ACCESS_KEY_ID,AWS_DEFAULT_REGION,AWS_REGION,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN"
    assert "assumed-role/ci" in arn


def test_the_end_of_the_keys_that_are_replaced_goes_unasked(
    aws: AwsHarness, keylease: RunKeylease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(aws, keylease, tmp_path, OLD, role_arn=ROLE)
    names, arn = done.stdout.splitlines()
    assert "AWS_CREDENTIAL_EXPIRATION" not in names
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in names
    assert "assumed-role/ci" in arn
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CREDENTIAL_EXPIRATION"):
        monkeypatch.setenv(name, OLD[name])
    with pytest.raises(RuntimeError, match="still expired"):  # left there, it would have broken boto3
        boto3.Session().get_credentials().get_frozen_credentials()


@pytest.mark.parametrize(
    "old",
    [
        {name: OLD[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        {name: OLD[name] for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")},
    ],
    ids=["keys", "web identity"],
)
def test_what_wins_over_a_profile_is_told_or_taken_out(
    aws: AwsHarness, keylease: RunKeylease, tmp_path: Path, old: dict[str, str]
) -> None:
    profiles = {"reader": {"role_arn": READER}}
    done = run(aws, keylease, tmp_path, old, profiles=profiles)
    assert f"{next(iter(old))} is set in this job" in done.stderr
    assert "assumed-role/reader" not in done.stdout, "what is warned of is so"
    done = run(aws, keylease, tmp_path, old, profiles=profiles, unset_existing=True)
    names, arn = done.stdout.splitlines()
    assert names == "AWS_DEFAULT_REGION,AWS_PROFILE,AWS_REGION,AWS_SHARED_CREDENTIALS_FILE"
    assert "assumed-role/reader" in arn


def test_in_other_formats_they_become_empty(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    provider = {"type": "aws", "role_arn": ROLE, "region": "eu-central-1", "url": aws.server.url}
    config = tmp_path / "keylease.yml"
    provider |= {"unset_existing": True}  # type: ignore[dict-item]
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    done = keylease(
        "lease",
        "--config",
        str(config),
        "--format",
        "json",
        "--output",
        str(tmp_path / "out"),
        env={
            **aws.issuer.github_env(),
            **OLD,
            "AWS_PROFILE": "mine",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "AWS_PROFILE is set in this job, and only `keylease exec` can take it out" in done.stderr
    found = json.loads((tmp_path / "out").read_text())
    assert {name for name, value in found.items() if not value} == {
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
    }
    assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA")


def test_what_one_provider_sets_the_other_leaves(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    shared = {"type": "aws", "region": "eu-central-1", "url": aws.server.url, "unset_existing": True}
    providers = {"one": {**shared, "role_arn": ROLE}, "two": {**shared, "profiles": {"a": {"role_arn": READER}}}}
    names = {"AWS_REGION": "REGION_2", "AWS_DEFAULT_REGION": "REGION_3"}
    leases = [{"use": "one"}, {"use": "two", "rename": names}]
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": providers, "leases": leases}))
    out = ("--format", "json", "--output", str(tmp_path / "out"))
    done = keylease("lease", "--config", str(config), *out, env={**aws.issuer.github_env(), **OLD})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out").read_text())
    assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert found["AWS_CREDENTIAL_EXPIRATION"] == ""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = ("exec", "--config", str(config), "--", sys.executable, str(tmp_path / "program.py"))
    done = keylease(*command, env={**aws.issuer.github_env(), **OLD, "STS": aws.server.url})
    assert "assumed-role/ci" in done.stdout, done.stderr


def test_githubs_environment_gets_them_empty(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    provider = {"type": "aws", "role_arn": ROLE, "region": "eu-central-1", "url": aws.server.url}
    provider |= {"unset_existing": True}  # type: ignore[dict-item]
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    (tmp_path / "env").touch()
    env = {**aws.issuer.github_env(), **OLD, "GITHUB_ENV": str(tmp_path / "env"), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("lease", "--config", str(config), "--format", "github", env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = (tmp_path / "env").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("AWS_CREDENTIAL_EXPIRATION<<"))
    assert lines[at + 1] == ""
    assert lines[at + 2] == lines[at].partition("<<")[2]
    assert "AWS_CREDENTIAL_EXPIRATION" not in done.stdout, "not told as leased"


def test_empty_variables_are_none_to_boto3_but_for_a_profiles_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    known = existing(dict.fromkeys(OLD, "x") | {"AWS_PROFILE": "x", "AWS_SHARED_CREDENTIALS_FILE": "x"}, [])
    for name in [each for each in known if can_be_empty(each) and "KEY" not in each]:
        monkeypatch.setenv(name, "")
    assert boto3.Session().get_credentials().get_frozen_credentials().access_key == "AKIA"
    monkeypatch.setenv("AWS_PROFILE", "")
    with pytest.raises(ProfileNotFound):
        boto3.Session()


def test_a_lease_to_read_with_says_nothing_of_them(aws: AwsHarness) -> None:
    aws.context.env = dict(OLD)
    exchanger = aws.exchanger(unset_existing=True)
    exchanger.used = False
    lease = exchanger.exchange(aws.token())
    assert (lease.warnings, dict(lease.unset)) == ([], {})
    aws.context.env = {**OLD, "AWS_PROFILE": "mine"}
    (warning,) = aws.exchanger().exchange(aws.token()).warnings
    assert "AWS_PROFILE is set in this job: the SDK for JavaScript takes that profile" in warning


def test_ours_are_not_existing_ones() -> None:
    ours = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    assert existing({**OLD, "AWS_SESSION_TOKEN": ""}, ours) == [
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
    ]
    assert warnings({"AWS_WEB_IDENTITY_TOKEN_FILE": "x"}, ours, unset=False) == []
    assert existing(OLD, ["AWS_PROFILE"]) == list(OLD)
    (warning,) = warnings({"AWS_SHARED_CREDENTIALS_FILE": "x"}, ["AWS_SHARED_CREDENTIALS_FILE"], unset=True)
    assert "out of reach" in warning


def test_a_job_without_a_token_takes_the_pods_on_eks(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(aws.issuer.mint(AUDIENCE))
    provider = {"type": "aws", "region": "eu-central-1", "url": aws.server.url}
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE, "WORKSPACE": str(tmp_path)}
    command = ("exec", "--config", str(config), "--", "sh", "-c", "test $AWS_ACCESS_KEY_ID && echo whole")
    done = keylease(*command, env=env)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    # The job's own token wins, and the pod's is not looked at.
    file.write_text("no token")
    done = keylease(*command, env={**env, **aws.issuer.github_env()})
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr


def test_the_token_in_a_file_is_sent_and_no_other_asked_for(
    aws: AwsHarness, keylease: RunKeylease, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(aws.issuer.mint(AUDIENCE) + "\n")
    asked = len(aws.issuer.token_requests())
    done = run(aws, keylease, tmp_path, {}, role_arn=ROLE, token_file=str(file))
    assert "assumed-role/ci" in done.stdout
    assert len(aws.issuer.token_requests()) == asked


def test_the_token_files_own_claims_make_the_trust(aws: AwsHarness, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(aws.issuer.mint(AUDIENCE, sub="system:serviceaccount:ci:runner", without=OF_A_JOB))
    text = aws.exchanger(token_file=str(file)).trust({"iss": "https://x.example", "sub": "another"}).text
    assert ':sub": "system:serviceaccount:ci:runner"' in text
    chained = aws.exchanger(profiles={"a": AwsProfile(role_arn=ROLE)}).trust(aws.token().claims)
    assert chained.text.count("update-assume-role-policy") == 1, "one role, one trust"


def test_whoami_shows_the_trust_of_the_token_in_a_file(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(aws.issuer.mint(AUDIENCE, sub="system:serviceaccount:ci:runner", without=OF_A_JOB))
    config = tmp_path / "keylease.yml"
    config.write_text(
        f"version: 1\nproviders:\n  a: {{type: aws, role_arn: '{ROLE}', region: eu-central-1, token_file: token}}\n"
    )
    done = keylease("whoami", "--config", str(config), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ':sub": "system:serviceaccount:ci:runner"' in done.stdout
    file.unlink()
    done = keylease("whoami", "--config", str(config), cwd=tmp_path)
    assert done.returncode == 3
    assert "token_file" in done.stdout


@pytest.mark.parametrize("content", [None, "", "a.b", "a.b.c", "x" * 30000, "a.WzFd.c"])
def test_what_is_no_token_in_a_file_is_told(aws: AwsHarness, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(IdentityError, match="token_file"):
        aws.exchanger(token_file=str(file)).exchange(None)
    assert not aws.proxy.requests
    with pytest.raises(IdentityError, match="token_file"):
        aws.exchanger(token_file=str(tmp_path)).exchange(None)
