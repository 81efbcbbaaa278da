"""The collector of AWS against moto, and against servers that misbehave in ways that moto can't.

moto verifies no signature and no permission, and has no pages of these lists: those, refusals and garbage are scripted.
"""

import json
from typing import Any

import pytest

from keylease.audit.model import Inventory
from keylease.audit.policy import AuditPolicy
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.pipelines.audit import judge
from keylease.registry import COLLECTORS, RULES
from tests.fakes.aws_sigv4 import check
from tests.fakes.misbehaving import Misbehaving, reply
from tests.integration.collecting import as_json, collector, one
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT, Moto

OIDC = "token.actions.githubusercontent.com"


def trust(**condition: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{OIDC}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


STAR = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
READ = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}],
    }
)


@pytest.fixture
def env(moto: Moto, seeded: Seeded) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": seeded.new("aws-secret"),
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_IAM": moto.url,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": moto.url,
    }


@pytest.fixture
def iam(moto: Moto) -> Any:
    return moto.client("iam")


def found(env: dict[str, str], **settings: Any) -> Inventory:
    inventory = collector("aws", settings, env).collect()
    assert inventory.kinds == set(COLLECTORS.load("aws").kinds)
    return inventory


def test_an_account(env: dict[str, str], moto: Moto, iam: Any, unique: Any, seeded: Seeded) -> None:
    user, role, policy = unique("user"), unique("role"), unique("policy")
    iam.create_user(UserName=user)
    made = [iam.create_access_key(UserName=user)["AccessKey"] for _ in range(2)]
    for each in made:
        seeded.add(each["SecretAccessKey"])
    iam.update_access_key(UserName=user, AccessKeyId=made[1]["AccessKeyId"], Status="Inactive")
    iam.put_user_policy(UserName=user, PolicyName="inline", PolicyDocument=READ)
    arn = iam.create_policy(PolicyName=policy, PolicyDocument=STAR)["Policy"]["Arn"]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust())
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    iam.put_role_policy(RoleName=role, PolicyName="inline", PolicyDocument=READ)
    secret, value = unique("secret"), seeded.new("stored")
    moto.client("secretsmanager").create_secret(Name=secret, SecretString=value)
    inventory = found(env)
    assert inventory.problems == []
    keys = [each.facts for each in inventory.of("aws.access_key") if each.facts["holder"] == user]
    assert {each["hint"] for each in keys} == {f"AKIA…{each['AccessKeyId'][-4:]}" for each in made}
    assert sorted(each["active"] for each in keys) == [False, True]
    assert all(each["created_at"] and each["last_used_at"] is None for each in keys)
    trusted = one(inventory, "aws.trust_policy", role)
    assert trusted.subject == f"aws://{ACCOUNT}/role/{role}"
    assert trusted.facts["policies"] == [arn]
    wide = one(inventory, "aws.iam_policy", policy)
    assert wide.facts["attached_to"] == [f"role/{role}"]
    assert wide.facts["document"]["Statement"][0]["Action"] == "*"
    inline = [each.subject for each in inventory.of("aws.iam_policy") if each.facts["name"] == "inline"]
    assert f"aws://{ACCOUNT}/role/{role}/policy/inline" in inline
    assert f"aws://{ACCOUNT}/user/{user}/policy/inline" in inline
    stored = one(inventory, "aws.secret", secret)
    assert (stored.facts["rotates"], stored.subject) == (False, f"aws://{ACCOUNT}/secret/eu-central-1/{secret}")
    assert stored.facts["updated_at"] is not None
    text = as_json(inventory)
    assert not any(each["AccessKeyId"] in text for each in made), "a key's whole id is not needed"
    assert value not in text
    verdict = judge(inventory, [RULES.load(name)() for name in RULES], AuditPolicy())
    told = {(each.rule, each.subject) for each in verdict.findings}
    assert ("aws-trust-no-subject", f"aws://{ACCOUNT}/role/{role}") in told
    assert ("aws-iam-admin", f"aws://{ACCOUNT}/policy/{policy}") in told


def test_roles_by_name(env: dict[str, str], iam: Any, unique: Any) -> None:
    first, second = unique("ci-role"), unique("other")
    for name in (first, second):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
    names = {each.facts["role"] for each in found(env, roles=["ci-role*"]).of("aws.trust_policy")}
    assert first in names
    assert second not in names


# What moto can't.


def xml(operation: str, inside: str) -> Any:
    named = "https://iam.amazonaws.com/doc/2010-05-08/"
    result = f"<{operation}Result>{inside}</{operation}Result>"
    text = f'<{operation}Response xmlns="{named}">{result}</{operation}Response>'
    return reply(200, body=text.encode(), content_type="text/xml")


def refusal(code: str, status: int = 403) -> Any:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>"
    text = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
    return reply(status, body=text.encode(), content_type="text/xml")


DETAILS = "<UserDetailList/><GroupDetailList/><RoleDetailList/><Policies/>"
SUMMARY = (
    "<SummaryMap><entry><key>AccountAccessKeysPresent</key><value>1</value></entry>"
    "<entry><key>Users</key><value>2</value></entry></SummaryMap>"
)


def user(name: str) -> str:
    arn, made = f"arn:aws:iam::123456789012:user/{name}", "2024-01-01T00:00:00Z"
    return f"<member><UserName>{name}</UserName><Arn>{arn}</Arn><CreateDate>{made}</CreateDate></member>"


class Scripted:
    """IAM as a table: operation → answer of (parameters)."""

    def __init__(self, server: Misbehaving, env: dict[str, str]) -> None:
        self.answers: dict[str, Any] = {
            "GetAccountAuthorizationDetails": lambda _: xml(
                "GetAccountAuthorizationDetails", f"{DETAILS}<IsTruncated>false</IsTruncated>"
            ),
            "GetAccountSummary": lambda _: xml("GetAccountSummary", SUMMARY),
            "ListAccessKeys": lambda _: xml("ListAccessKeys", "<AccessKeyMetadata/><IsTruncated>false</IsTruncated>"),
            "ListSecrets": lambda _: reply(json={"SecretList": []}),
        }
        self.asked: list[str] = []
        self.env = {**env, "AWS_ENDPOINT_URL_IAM": server.url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": server.url}
        server.on("/*", self._answer)

    def _answer(self, exchange: Any) -> Any:
        from urllib.parse import parse_qs

        request = exchange.request
        target = request.header("X-Amz-Target")
        given = {name: values[0] for name, values in parse_qs(request.body.decode()).items()} if not target else {}
        operation = target.rpartition(".")[2] if target else given["Action"]
        self.asked.append(operation)
        return self.answers[operation](given)(exchange)

    def found(self, **settings: Any) -> Inventory:
        return found(self.env, **settings)


@pytest.fixture
def aws(misbehaving: Misbehaving, env: dict[str, str]) -> Scripted:
    return Scripted(misbehaving, env)


def test_pages_are_read_to_the_end(aws: Scripted) -> None:
    def page(given: dict[str, str]) -> Any:
        number = int(given.get("Marker", "0"))
        more = (
            f"<IsTruncated>true</IsTruncated><Marker>{number + 1}</Marker>"
            if number < 3
            else "<IsTruncated>false</IsTruncated>"
        )
        return xml(
            "GetAccountAuthorizationDetails",
            f"<UserDetailList>{user(f'u{number}')}</UserDetailList><GroupDetailList/><RoleDetailList/><Policies/>{more}",
        )

    aws.answers["GetAccountAuthorizationDetails"] = page
    inventory = aws.found()
    assert [each.facts["name"] for each in inventory.of("aws.user")] == ["u0", "u1", "u2", "u3"]
    assert aws.asked.count("ListAccessKeys") == 4
    [account] = inventory.of("aws.account")
    assert account.facts["root_keys"] == 1


@pytest.mark.parametrize(
    "end",
    [
        "<IsTruncated>true</IsTruncated><Marker>same</Marker>",
        "<IsTruncated>true</IsTruncated>",
        "<Marker>more</Marker>",
        "<IsTruncated>perhaps</IsTruncated>",
    ],
)
def test_a_list_that_does_not_end_is_no_list(aws: Scripted, end: str) -> None:
    aws.answers["GetAccountAuthorizationDetails"] = lambda _: xml("GetAccountAuthorizationDetails", DETAILS + end)
    with pytest.raises(UnreachableError, match="does not end"):
        aws.found()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"<x/>"])
def test_garbage_is_no_empty_account(aws: Scripted, body: bytes) -> None:
    aws.answers["GetAccountAuthorizationDetails"] = lambda _: reply(200, body=body, content_type="text/xml")
    with pytest.raises(UnreachableError):
        aws.found()


@pytest.mark.parametrize(
    ("operation", "kinds", "action"),
    [
        (
            "GetAccountAuthorizationDetails",
            {"aws.trust_policy", "aws.iam_policy", "aws.user", "aws.access_key"},
            "iam:GetAccountAuthorizationDetails",
        ),
        ("GetAccountSummary", {"aws.account"}, "iam:GetAccountSummary"),
        ("ListAccessKeys", {"aws.access_key"}, "iam:ListAccessKeys"),
    ],
)
def test_what_may_not_be_listed_is_told_with_the_policy(
    aws: Scripted, operation: str, kinds: set[str], action: str
) -> None:
    details = f"<UserDetailList>{user('u')}</UserDetailList><GroupDetailList/><RoleDetailList/><Policies/>"
    aws.answers["GetAccountAuthorizationDetails"] = lambda _: xml(
        "GetAccountAuthorizationDetails", f"{details}<IsTruncated>false</IsTruncated>"
    )
    aws.answers[operation] = lambda _: refusal("AccessDenied")
    inventory = aws.found()
    assert {each.kind for each in inventory.problems} == kinds
    policy = json.loads(inventory.problems[0].change.partition("\n\n")[2])
    assert policy["Statement"][0]["Action"] == action


def test_secrets_that_may_not_be_listed(aws: Scripted) -> None:
    aws.answers["ListSecrets"] = lambda _: reply(400, json={"__type": "AccessDeniedException", "Message": "no"})
    [problem] = aws.found(regions=["eu-central-1"]).problems
    assert problem.kind == "aws.secret"
    assert "secretsmanager:ListSecrets" in problem.change


def test_a_wrong_credential_is_no_empty_account(aws: Scripted) -> None:
    aws.answers["GetAccountAuthorizationDetails"] = lambda _: refusal("InvalidClientTokenId")
    with pytest.raises(RefusedError):
        aws.found()


def test_throttling_is_no_empty_account(aws: Scripted) -> None:
    aws.answers["GetAccountAuthorizationDetails"] = lambda _: refusal("Throttling", 400)
    with pytest.raises(UnreachableError, match="Throttling"):
        aws.found()


@pytest.mark.parametrize(("region", "scope"), [("eu-central-1", "us-east-1"), ("us-gov-east-1", "us-gov-west-1")])
def test_requests_are_signed_for_the_place_where_iam_is(
    aws: Scripted, misbehaving: Misbehaving, seeded: Seeded, region: str, scope: str
) -> None:
    token = seeded.new("session-token")
    aws.env |= {"AWS_SESSION_TOKEN": token, "AWS_REGION": region}
    aws.found()
    requests = [each for each in misbehaving.requests if not each.header("X-Amz-Target")]
    assert requests
    for request in requests:
        check(request, aws.env["AWS_ACCESS_KEY_ID"], aws.env["AWS_SECRET_ACCESS_KEY"], token, scope, "iam")


def test_without_a_credential(env: dict[str, str]) -> None:
    kind = COLLECTORS.load("aws")
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        kind.alone(kind.Settings(), {**env, "AWS_ACCESS_KEY_ID": ""})
    with pytest.raises(UsageError, match="no region"):
        kind.alone(kind.Settings(), {**env, "AWS_REGION": ""})
    kind.alone(kind.Settings(), env)


def test_an_address_that_is_not_awss(env: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL_IAM"):
        collector("aws", {}, {**env, "AWS_ENDPOINT_URL_IAM": "https://iam.amazonaws.com.example.com"})


def test_keys_and_roles_of_an_account_are_judged(env: dict[str, str], iam: Any, unique: Any, seeded: Seeded) -> None:
    name, group, role, policy = unique("admin"), unique("ops"), unique("role"), unique("policy")
    iam.create_user(UserName=name)
    seeded.add(iam.create_access_key(UserName=name)["AccessKey"]["SecretAccessKey"])
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="all", PolicyDocument=STAR)
    iam.add_user_to_group(GroupName=group, UserName=name)
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust())
    wide = STAR.replace('"Action": "*"', '"Action": "s3:*"')
    arn = iam.create_policy(PolicyName=policy, PolicyDocument=wide)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    names = ("aws-access-key-admin", "aws-access-key-beside-oidc", "aws-iam-service-wildcard")
    inventory = found(env)
    findings = [each for rule in names for each in RULES.load(rule)().check(inventory)]
    keys = {each.rule for each in findings if each.subject.startswith(f"aws://{ACCOUNT}/user/{name}/key/")}
    assert keys == {"aws-access-key-admin", "aws-access-key-beside-oidc"}
    [raised] = [each for each in findings if each.subject == f"aws://{ACCOUNT}/policy/{policy}"]
    assert raised.severity == "high", "jobs can take the role that has it"
