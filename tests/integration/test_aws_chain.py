"""AWS: a second role, and whose credentials they are: signed requests.

Against SeaweedFS, which verifies the signature and the second role's trust policy; against moto, which verifies
nothing, for what SeaweedFS does not know (external ids, tags): there `tests.fakes.aws_sigv4` checks the signature.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3  # type: ignore[import-untyped]
import jwt
import msgspec
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError
from keylease.exchange.aws import AwsExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import IdentityToken, Lease
from keylease.vendors.aws_session import AwsSession
from keylease.vendors.aws_settings import AwsChain
from tests.conftest import RunKeylease
from tests.contract.harness_aws import AwsHarness, make
from tests.fakes import aws_sigv4
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.loopback import Received
from tests.fakes.misbehaving import Proxy, reply
from tests.integration.test_aws_exchange import error, exported
from tests.servers.moto import Moto
from tests.servers.seaweedfs import AUDIENCE, ROLE, SECOND, SESSION

MEMBER = "arn:aws:iam::444455556666:role/team/pusher"


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> AwsHarness:
    """SeaweedFS behind a proxy."""
    return make(request)


@pytest.fixture
def before_moto(moto: Moto) -> Iterator[Proxy]:
    """A proxy before moto, to see what it is sent."""
    with Proxy(moto.url) as proxy:
        yield proxy


def form_of(request: Received) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(request.body.decode(), strict_parsing=True).items()}


def by_moto(proxy: Proxy, issuer: OIDCIssuer, env: dict[str, str] | None = None, **settings: Any) -> Lease:
    given = {"role_arn": ROLE, "region": "eu-central-1", "url": proxy.url, "retries": 0, **settings}
    made = msgspec.convert(given, AwsExchanger.Settings)
    context = Context(env or {}, Masker(), Deadline(20))
    minted = issuer.mint(AUDIENCE)
    claims = jwt.decode(minted, options={"verify_signature": False})
    token = IdentityToken(context.seal(minted, "identity token"), claims, "github", "a test", AUDIENCE)
    return AwsExchanger("aws", AwsExchanger.complete(made, {}), context).exchange(token)


def test_a_server_that_verifies_the_signature_gives_the_second_role(
    aws: AwsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = AwsChain(role_arn=SECOND)
    lease = aws.exchanger(chain=chain, duration="20m").exchange(aws.token())
    assert lease.account == f"arn:aws:sts::000000000000:assumed-role/second/{SESSION}"
    assert lease.expires_at is not None
    assert lease.expires_at - time.time() <= 1201
    assert isinstance(lease.session, AwsSession)
    assert lease.session.role == lease.account
    exported(monkeypatch, lease)
    sts = boto3.Session().client("sts", endpoint_url=aws.server.url)
    assert sts.get_caller_identity()["Arn"] == lease.account
    sts.close()
    s3 = boto3.Session().client("s3", endpoint_url=aws.server.url)
    s3.list_buckets()
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_bucket(Bucket="the-first-role-could")
    s3.close()


def test_a_wrong_signature_is_refused_by_that_server(aws: AwsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    from keylease.vendors import aws_chain, aws_signing

    real = aws_signing.signed
    monkeypatch.setattr(aws_chain, "signed", lambda url, body, *a, **k: real(url, body + b"&", *a, **k))
    chain = AwsChain(role_arn=SECOND)
    with pytest.raises((RefusedError, UnreachableError), match=r"SignatureDoesNotMatch|refusal"):
        aws.exchanger(chain=chain).exchange(aws.token())


def test_a_second_role_that_does_not_trust_the_session_ends_at_once(aws: AwsHarness) -> None:
    chain = AwsChain(role_arn=SECOND, external_id="x-1")
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        aws.exchanger(chain=chain, session_name="another").exchange(aws.token())
    assert time.monotonic() - started < 0.5
    assert len(aws.proxy.requests) == 2
    assert f"role {SECOND} was refused to the session of {ROLE}: AccessDenied" in caught.value.summary
    assert caught.value.docs.endswith("#aws-chain")
    first, _, second = caught.value.change.partition("\nEOF\n")
    trust = json.loads(first.partition("<<'EOF'\n")[2])
    assert trust["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ROLE},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "x-1"}},
        }
    ]
    assert '"Resource": "arn:aws:iam::000000000000:role/second"' in second
    assert "put-role-policy --role-name ci " in second


@pytest.mark.parametrize(
    ("code", "status", "docs"), [("SignatureDoesNotMatch", 403, "clock"), ("PackedPolicyTooLarge", 400, "too large")]
)
def test_refusals_of_the_second_role_are_explained(aws: AwsHarness, code: str, status: int, docs: str) -> None:
    chain = AwsChain(role_arn=SECOND)
    aws.proxy.fail("/", aws.proxy._forward, error(code, status=status))
    with pytest.raises(RefusedError) as caught:
        aws.exchanger(chain=chain).exchange(aws.token())
    assert docs in caught.value.cause


@pytest.mark.parametrize("code", ["Throttling", "IDPCommunicationError"])
def test_a_throttled_second_role_is_tried_again(aws: AwsHarness, code: str) -> None:
    chain = AwsChain(role_arn=SECOND)
    aws.proxy.fail("/", aws.proxy._forward, error(code))
    assert aws.is_alive(aws.exchanger(chain=chain).exchange(aws.token()))
    assert len(aws.proxy.requests) == 3


def test_the_second_request_is_the_documented_one_and_signed(before_moto: Proxy, issuer: OIDCIssuer) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    lease = by_moto(
        before_moto,
        issuer,
        duration="40m",
        session_policy=policy,
        managed_policies=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        chain={
            "role_arn": MEMBER,
            "external_id": "team:one/2",
            "tags": {"Cost Centre": "ml+ai", "Größe": "ä"},
            "transitive_tags": ["Größe"],
        },
    )
    first, second = before_moto.requests
    one, two = form_of(first), form_of(second)
    assert one.pop("WebIdentityToken")
    assert one == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": SESSION,
        "DurationSeconds": "900",
    }
    assert json.loads(two.pop("Policy")) == policy
    assert two == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": MEMBER,
        "RoleSessionName": SESSION,
        "DurationSeconds": "2400",
        "ExternalId": "team:one/2",
        "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "Tags.member.1.Key": "Cost Centre",
        "Tags.member.1.Value": "ml+ai",
        "Tags.member.2.Key": "Größe",
        "Tags.member.2.Value": "ä",
        "TransitiveTagKeys.member.1": "Größe",
    }
    assert second.header("Accept") == "text/xml"
    assert "444455556666" in lease.account


def test_botocore_itself_sends_the_same(before_moto: Proxy, issuer: OIDCIssuer) -> None:
    by_moto(before_moto, issuer, chain={"role_arn": MEMBER, "external_id": "e-1", "tags": {"a": "b c"}})
    sts = boto3.Session().client(
        "sts",
        region_name="eu-central-1",
        endpoint_url=before_moto.url,
        aws_access_key_id="ASIAX",
        aws_secret_access_key="s",
        aws_session_token="t",
    )
    sts.assume_role(
        RoleArn=MEMBER,
        RoleSessionName=SESSION,
        DurationSeconds=3600,
        ExternalId="e-1",
        Tags=[{"Key": "a", "Value": "b c"}],
    )
    sts.close()
    *_, ours, theirs = before_moto.requests
    assert form_of(ours) == form_of(theirs)
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    aws_sigv4.check(theirs, "ASIAX", "s", "t", "eu-central-1", "sts")  # the check agrees with botocore


def test_the_signature_is_right_by_the_specification(
    before_moto: Proxy, issuer: OIDCIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keylease.vendors import aws_chain

    sessions = []
    real = aws_chain.second_role

    def spy(http: Any, settings: Any, first: Any, *rest: Any) -> Any:
        sessions.append(first[1])
        return real(http, settings, first, *rest)

    monkeypatch.setattr(aws_chain, "second_role", spy)
    lease = by_moto(before_moto, issuer, chain={"role_arn": MEMBER}, allowed_account_ids=["444455556666"])
    _, second, identity = before_moto.requests
    (session,) = sessions
    values = [each.reveal() for each in (session.key_id, session.secret_key, session.session_token)]
    aws_sigv4.check(second, *values, "eu-central-1", "sts")  # type: ignore[call-arg]
    with pytest.raises(AssertionError):
        aws_sigv4.check(second, values[0], "wrong", values[2], "eu-central-1", "sts")
    assert form_of(identity) == {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    own = [value.reveal() for value in lease.fields.values()]
    aws_sigv4.check(identity, *own, "eu-central-1", "sts")  # type: ignore[call-arg]


def test_job_tags_are_what_the_token_says(before_moto: Proxy, issuer: OIDCIssuer) -> None:
    issuer.claims.update({"actor": "dependabot[bot]", "ref": "refs/heads/a#b'c"})
    by_moto(before_moto, issuer, chain={"role_arn": MEMBER, "job_tags": True, "transitive_tags": ["Repository"]})
    form = form_of(before_moto.requests[1])
    tags = {
        form[f"Tags.member.{n}.Key"]: form[f"Tags.member.{n}.Value"]
        for n in range(1, 20)
        if f"Tags.member.{n}.Key" in form
    }
    assert tags["Repository"] == "acme/trainer"
    assert tags["RunId"] == "7421359018"
    assert tags["Actor"] == "dependabot_bot_"
    assert tags["Branch"] == "refs/heads/a_b_c"
    assert form["TransitiveTagKeys.member.1"] == "Repository"


def test_the_account_is_asked_of_aws_itself(aws: AwsHarness) -> None:
    chain = AwsChain(role_arn=SECOND)
    lease = aws.exchanger(chain=chain, allowed_account_ids=["000000000000"]).exchange(aws.token())
    assert len(aws.proxy.requests) == 3
    assert aws.is_alive(lease)


@pytest.mark.parametrize("account", ["999988887777", ""])
def test_credentials_of_another_account_are_not_handed_over(aws: AwsHarness, account: str) -> None:
    chain = AwsChain(role_arn=SECOND)
    body = (
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::x:y</Arn>"
        f"<Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    through = aws.proxy._forward
    aws.proxy.fail("/", through, through, reply(body=body.encode(), content_type="text/xml"))
    with pytest.raises(RefusedError, match="by GetCallerIdentity"):
        aws.exchanger(chain=chain, allowed_account_ids=["000000000000"]).exchange(aws.token())
    aws.proxy.fail("/", through, through, error("InvalidClientTokenId", status=403))
    with pytest.raises(RefusedError, match="issued credentials were refused: InvalidClientTokenId"):
        aws.exchanger(chain=chain, allowed_account_ids=["000000000000"]).exchange(aws.token())


def test_boto3_works_with_a_chained_profile_under_exec(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    provider = {
        "type": "aws",
        "role_arn": ROLE,
        "region": "eu-central-1",
        "url": aws.server.url,
        "profiles": {"second": {"role_arn": ROLE, "chain": {"role_arn": SECOND}}},
    }
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    program = tmp_path / "program.py"
    program.write_text(
        "import boto3\n"
        "for session in boto3.Session(), boto3.Session(profile_name='second'):\n"
        f"    print(session.client('sts', endpoint_url='{aws.server.url}').get_caller_identity()['Arn'])\n"
    )
    environment = {**aws.issuer.github_env(), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("exec", "--config", str(config), "--", sys.executable, str(program), env=environment)
    assert done.returncode == 0, done.stderr
    own, other = done.stdout.splitlines()
    assert "assumed-role/ci/" in own
    assert "assumed-role/second/" in other


def test_a_lease_without_a_second_role_loads_no_sdk(aws: AwsHarness, keylease: RunKeylease, tmp_path: Path) -> None:
    provider = {"type": "aws", "role_arn": ROLE, "region": "eu-central-1", "url": aws.server.url}
    config = tmp_path / "keylease.yml"
    config.write_text(json.dumps({"version": 1, "providers": {"aws": provider}, "leases": [{"use": "aws"}]}))
    environment = {**aws.issuer.github_env(), "RUNNER_TEMP": str(tmp_path), "PYTHONVERBOSE": "1"}
    done = keylease("exec", "--config", str(config), "--", "true", env=environment)
    assert done.returncode == 0
    assert "keylease.exchange.aws" in done.stderr
    assert "botocore" not in done.stderr
