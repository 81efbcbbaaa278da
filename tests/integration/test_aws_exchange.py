"""AWS: what STS gets, what is handed over, and what boto3 makes of it, against SeaweedFS's STS and S3."""

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3  # type: ignore[import-untyped]
import jwt
import msgspec
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from keylease.errors import RefusedError, UnreachableError
from keylease.exchange.aws import AwsExchanger
from keylease.model import Lease
from tests.conftest import RunKeylease
from tests.contract.harness_aws import AwsHarness, make
from tests.fakes.misbehaving import reply
from tests.leaks import Seeded
from tests.servers.seaweedfs import READER, ROLE


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> AwsHarness:
    """SeaweedFS behind a proxy."""
    return make(request)


def exported(monkeypatch: pytest.MonkeyPatch, lease: Lease) -> None:
    for name, value in {**lease.plain, **{n: v.reveal() for n, v in lease.fields.items()}}.items():
        monkeypatch.setenv(name, value)


def error(code: str, message: str = "no", status: int = 400) -> Any:
    # The form of https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html ("Error response").
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ErrorResponse>"
    )
    return reply(body=body.encode(), status=status, headers={"Content-Type": "text/xml"})


def success(**changed: str) -> Any:
    values = {
        "AccessKeyId": "ASIA" + "Q" * 16,
        "SecretAccessKey": "k/9" + "x" * 37,
        "SessionToken": "t" * 300,
        "Expiration": "2099-01-01T00:00:00Z",
        "Arn": "arn:aws:sts::111122223333:assumed-role/ci/x",
        **changed,
    }
    if values["Expiration"].startswith("2099"):
        values["Expiration"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))
    arn = values.pop("Arn")
    leaves = "".join(f"<{name}>{value}</{name}>" for name, value in values.items() if value)
    body = (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials>{leaves}</Credentials>"
        f"<AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>"
    )
    return reply(body=body.encode(), headers={"Content-Type": "text/xml"})


def test_the_request_is_the_documented_one(aws: AwsHarness) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    token = aws.token()
    aws.proxy.fail("/", success())
    managed = ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::111122223333:policy/team/x"]
    aws.exchanger(duration="30m", session_policy=policy, managed_policies=managed).exchange(token)
    (request,) = aws.proxy.requests
    assert (request.method, request.target) == ("POST", "/")
    assert request.header("Accept") == "text/xml"
    assert not request.header("Authorization")
    form = parse_qs(request.body.decode(), strict_parsing=True)
    assert json.loads(form.pop("Policy")[0]) == policy
    assert form == {
        "Action": ["AssumeRoleWithWebIdentity"],
        "Version": ["2011-06-15"],
        "RoleArn": [ROLE],
        "RoleSessionName": ["acme-trainer@7421359018"],
        "WebIdentityToken": [token.jwt.reveal()],
        "DurationSeconds": ["1800"],
        "PolicyArns.member.1.arn": managed[:1],
        "PolicyArns.member.2.arn": managed[1:],
    }


def test_boto3_works_with_the_variables(aws: AwsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = aws.exchanger(duration=900).exchange(aws.token())
    assert set(lease.fields) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert lease.plain == {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    assert lease.expires_at is not None
    assert 880 < lease.expires_at - time.time() <= 901
    exported(monkeypatch, lease)
    s3 = boto3.Session().client("s3", endpoint_url=aws.server.url)
    s3.create_bucket(Bucket="variables")
    s3.put_object(Bucket="variables", Key="k", Body=b"hello")
    assert s3.get_object(Bucket="variables", Key="k")["Body"].read() == b"hello"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="variables", Key="k")
    s3.close()


def test_a_session_policy_gets_into_the_session(aws: AwsHarness) -> None:
    only = {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": ["*"]}
    policy = {"Version": "2012-10-17", "Statement": [only]}
    lease = aws.exchanger(session_policy=policy).exchange(aws.token())
    # SeaweedFS's session token is a JWT of its own, with the policy in it.
    found = jwt.decode(lease.fields["AWS_SESSION_TOKEN"].reveal(), options={"verify_signature": False})
    assert json.loads(found["spol"]) == policy


@pytest.mark.parametrize("beside", [False, True], ids=["profiles", "beside variables"])
def test_boto3_works_with_the_profiles(
    aws: AwsHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seeded: Seeded, beside: bool
) -> None:
    profiles = {"writer": {"role_arn": ROLE}, "reader": {"role_arn": READER, "duration": "15m"}}
    made = msgspec.convert({"profiles": profiles}, AwsExchanger.Settings).profiles
    lease = aws.exchanger(profiles=made, role_arn=ROLE if beside else "").exchange(aws.token())
    assert len(aws.proxy.requests) == (3 if beside else 2)
    assert bool(lease.fields) is beside
    assert lease.plain.get("AWS_PROFILE") == (None if beside else "writer")
    assert lease.expires_at is not None
    assert lease.expires_at - time.time() <= 901, "the shortest"
    (file,) = lease.files
    assert file.variable == "AWS_SHARED_CREDENTIALS_FILE"
    assert file.content is not None
    path = tmp_path / "credentials"
    path.write_text(file.content.reveal(), encoding="utf-8")
    monkeypatch.setenv(file.variable, str(path))
    exported(monkeypatch, lease)
    bucket = f"profiles-{beside}".lower()
    for session in (boto3.Session(), boto3.Session(profile_name="writer")):
        s3 = session.client("s3", endpoint_url=aws.server.url)
        if bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        s3.close()
    s3 = boto3.Session(profile_name="reader").client("s3", endpoint_url=aws.server.url)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    s3.close()


def test_one_refused_profile_refuses_all(aws: AwsHarness) -> None:
    other = {"profiles": {"other": {"role_arn": ROLE.replace("/ci", "/nobody")}}}
    profiles = msgspec.convert(other, AwsExchanger.Settings).profiles
    with pytest.raises((RefusedError, UnreachableError), match="role/nobody"):
        aws.exchanger(profiles=profiles, retries=0).exchange(aws.token())


def test_keys_in_the_job_that_win_over_the_profile_are_told(aws: AwsHarness) -> None:
    aws.context.env = {"AWS_ACCESS_KEY_ID": "AKIA"}
    profiles = msgspec.convert({"profiles": {"a": {"role_arn": ROLE}}}, AwsExchanger.Settings).profiles
    (warning,) = aws.exchanger(role_arn="", profiles=profiles).exchange(aws.token()).warnings
    assert "AWS_ACCESS_KEY_ID is set in this job: those keys win over AWS_PROFILE" in warning
    assert "unset_existing: true" in warning


def test_a_refusal_has_the_trust_and_the_other_subject(aws: AwsHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        aws.exchanger().exchange(aws.token(repository="evil/fork", sub="repo:acme/x:ref:refs/heads/main"))
    assert "AccessDenied" in caught.value.summary
    assert '"token.actions.githubusercontent.com:sub"' not in caught.value.change, "the issuer is the test's"
    assert ':sub": "repo:acme/x:ref:refs/heads/main"' in caught.value.change
    assert caught.value.docs.endswith("#aws-login")


@pytest.mark.parametrize("code", ["IDPCommunicationError", "Throttling", "RequestLimitExceeded"])
def test_what_aws_says_may_heal_is_tried_again(aws: AwsHarness, code: str) -> None:
    aws.proxy.fail("/", error(code))
    assert aws.is_alive(aws.exchanger().exchange(aws.token()))
    assert len(aws.proxy.requests) == 2
    aws.proxy.always("/", error(code))
    with pytest.raises(UnreachableError, match=code):
        aws.exchanger(retries=1).exchange(aws.token())


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("AccessDenied", 403, "trust policy"),
        ("InvalidIdentityToken", 400, "no identity provider"),
        ("IDPRejectedClaim", 403, "client ids"),
        ("ValidationError", 400, "duration"),
        ("PackedPolicyTooLarge", 400, "too large"),
        ("MalformedPolicyDocument", 400, "no valid IAM policy"),
        ("RegionDisabledException", 403, "not active"),
        ("Unheard", 400, "does not accept"),
    ],
)
def test_refusals_are_final_and_explained(aws: AwsHarness, code: str, status: int, cause: str) -> None:
    aws.proxy.fail("/", error(code, "line\none &lt;b&gt;", status))
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        aws.exchanger().exchange(aws.token())
    assert time.monotonic() - started < 0.5
    assert len(aws.proxy.requests) == 1
    assert f"{code}: line one <b>" in caught.value.summary
    assert cause in caught.value.cause
    assert caught.value.change
    assert caught.value.detail["request id"].startswith("c6104cbe")  # type: ignore[attr-defined]


def test_an_audience_that_iam_does_not_know_is_no_missing_provider(aws: AwsHarness) -> None:
    aws.proxy.fail("/", error("InvalidIdentityToken", "Incorrect token audience"))
    with pytest.raises(RefusedError) as caught:
        aws.exchanger(audience="https://acme.example").exchange(aws.token(audience="https://acme.example"))
    assert "client ids don't name ('https://acme.example')" in caught.value.cause
    assert "the usual one is sts.amazonaws.com" in caught.value.cause
    assert "aws iam add-client-id-to-open-id-connect-provider" in caught.value.change
    assert "--client-id https://acme.example" in caught.value.change


def test_a_firewalls_page_is_no_refusal(aws: AwsHarness) -> None:
    aws.proxy.fail("/", reply(body=b"<html><body>Blocked</body></html>", status=403))
    with pytest.raises(UnreachableError, match="not AWS's own"):
        aws.exchanger().exchange(aws.token())


@pytest.mark.parametrize(
    "changed",
    [
        {"SessionToken": ""},
        {"SecretAccessKey": "two words"},
        {"AccessKeyId": "x]&#10;[y"},
        {"SessionToken": "t" * 9000},
        {"Expiration": ""},
        {"Expiration": "2026-13-77"},
        {"Expiration": "2199-01-01T00:00:00Z"},
    ],
)
def test_what_is_no_credential_is_none(aws: AwsHarness, changed: dict[str, str]) -> None:
    aws.proxy.fail("/", success(**changed))
    with pytest.raises(UnreachableError, match="no usable credentials"):
        aws.exchanger().exchange(aws.token())


def test_credentials_over_on_arrival_are_refused(aws: AwsHarness) -> None:
    aws.proxy.fail("/", success(Expiration="2020-01-01T00:00:00Z"))
    with pytest.raises(RefusedError, match="expired on arrival"):
        aws.exchanger().exchange(aws.token())


def test_entities_are_not_expanded(aws: AwsHarness) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><ErrorResponse><Error>&e;</Error></ErrorResponse>'
    aws.proxy.fail("/", reply(body=bomb))
    with pytest.raises(UnreachableError):
        aws.exchanger().exchange(aws.token())


@pytest.mark.parametrize("account", ["999988887777", ""])
def test_the_answers_account_is_checked(aws: AwsHarness, account: str) -> None:
    aws.proxy.fail("/", success(Arn=f"arn:aws:sts::{account}:assumed-role/ci/x"))
    with pytest.raises(RefusedError, match=r"by the answer.+allowed_account_ids"):
        aws.exchanger(allowed_account_ids=["111122223333"]).exchange(aws.token())
    assert len(aws.proxy.requests) == 1


def test_boto3_takes_credential_process(
    aws: AwsHarness, keylease: RunKeylease, tmp_path: Path, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = {"type": "aws", "role_arn": ROLE, "region": "eu-central-1", "url": aws.server.url}
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}}))
    command = ("credential-process", "--provider", "aws", "--config", str(config))
    done = keylease(*command, env=aws.issuer.github_env())
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout)
    assert given["Version"] == 1
    answer = tmp_path / "answer.json"
    answer.write_text(done.stdout)
    (tmp_path / "config").write_text(f"[profile kl]\nregion = eu-central-1\ncredential_process = cat {answer}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    sts = boto3.Session(profile_name="kl").client("sts", endpoint_url=aws.server.url)
    assert "assumed-role/ci/acme-trainer@7421359018" in sts.get_caller_identity()["Arn"]
    sts.close()


def test_exec_gives_a_command_variables_and_profiles(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    provider = {"type": "aws", "role_arn": ROLE, "region": "eu-central-1", "url": aws.server.url}
    provider |= {"profiles": {"reader": {"role_arn": READER, "duration": "30m"}}}  # type: ignore[dict-item]
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    program = tmp_path / "program.py"
    program.write_text(
        "import boto3, os, stat\n"
        "file = os.environ['AWS_SHARED_CREDENTIALS_FILE']\n"
        "print(oct(stat.S_IMODE(os.stat(file).st_mode)), file)\n"
        "for session in boto3.Session(), boto3.Session(profile_name='reader'):\n"
        f"    print(session.client('sts', endpoint_url='{aws.server.url}').get_caller_identity()['Arn'])\n"
    )
    environment = {**aws.issuer.github_env(), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("exec", "--config", str(config), "--", sys.executable, str(program), env=environment)
    assert done.returncode == 0, done.stderr
    place, own, other = done.stdout.splitlines()
    mode, _, file = place.partition(" ")
    assert mode == "0o600"
    assert not Path(file).exists(), "it is gone with the command"
    assert "assumed-role/ci/" in own
    assert "assumed-role/reader/" in other
