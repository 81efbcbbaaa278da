"""AWS: what settings are refused and completed, session names, XML, the trust policy."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from keylease.context import Context
from keylease.errors import UsageError
from keylease.exchange.aws import AwsExchanger, session_name
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Read
from keylease.vendors.aws_answers import parse
from keylease.vendors.aws_chain import job_tags
from keylease.vendors.aws_settings import AwsChain, AwsSettings, complete
from keylease.vendors.aws_trust import chain_trust, trust_for
from tests.fakes.github_oidc import github_claims, gitlab_claims

ROLE = "arn:aws:iam::111122223333:role/team/ci"
SECOND = "arn:aws:iam::444455556666:role/pusher"
ISSUER = "https://token.actions.githubusercontent.com"
STATEMENT = {"Version": "2012-10-17", "Statement": []}


def made(**given: Any) -> AwsSettings:
    return msgspec.convert({"role_arn": ROLE, "region": "eu-central-1", **given}, AwsSettings)


@pytest.mark.parametrize(
    ("role", "region", "url"),
    [
        ("arn:aws:iam::111122223333:role/ci", "eu-central-1", "https://sts.eu-central-1.amazonaws.com"),
        ("arn:aws-cn:iam::111122223333:role/ci", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:iam::111122223333:role/ci", "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
        ("arn:aws-eusc:iam::111122223333:role/ci", "eusc-de-east-1", "https://sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_each_partition_has_its_endpoint(role: str, region: str, url: str) -> None:
    done = complete(made(role_arn=role, region=region), {})
    assert done.url == url
    import botocore.session  # type: ignore[import-untyped]

    session = botocore.session.Session()
    client = session.create_client("sts", region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
    assert client.meta.endpoint_url == url, "the SDK asks the same"


def test_the_environment_fills_in() -> None:
    env = {"AWS_ROLE_ARN": ROLE, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ROLE_SESSION_NAME": "me"}
    done = complete(AwsSettings(), env)
    assert (done.role_arn, done.region, done.session_name) == (ROLE, "us-east-1", "me")
    assert done.audience == "sts.amazonaws.com"
    assert complete(AwsSettings(), env | {"AWS_REGION": "us-west-2"}).region == "us-west-2"
    assert complete(AwsSettings(), env | {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}).url == "http://127.0.0.1:9"
    profiles = msgspec.convert({"profiles": {"a": {"role_arn": ROLE}}}, AwsSettings)
    assert complete(profiles, env).role_arn == "", "profiles alone mean no variables"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"role_arn": ""}, "role_arn"),
        ({"role_arn": "arn:aws:iam::1:role/ci"}, "role_arn"),
        ({"role_arn": "arn:aws:iam::111122223333:user/ci"}, "role_arn"),
        ({"role_arn": ROLE + "\n"}, None),
        ({"role_arn": "arn:aws-cn:iam::111122223333:role/ci"}, "region"),
        ({"region": ""}, "region"),
        ({"region": "eu-central-1.evil.example/"}, "region"),
        ({"duration": "14m"}, "duration"),
        ({"duration": "13h"}, "duration"),
        ({"session_name": "a b"}, "session_name"),
        ({"session_policy": "{"}, "session_policy"),
        ({"session_policy": {"a": 1}}, "session_policy"),
        ({"session_policy": {**STATEMENT, "Id": "x" * 2048}}, "session_policy"),
        ({"managed_policies": ["ReadOnly"]}, "managed_policies"),
        ({"managed_policies": ["arn:aws:iam::aws:policy/X"] * 11}, "managed_policies"),
        ({"allowed_account_ids": ["1"]}, "allowed_account_ids"),
        ({"allowed_account_ids": ["444455556666"]}, "allowed_account_ids"),
        ({"url": "https://evil.example"}, "url"),
        ({"url": "https://vpce-1-2.vpce-svc-3.eu-central-1.vpce.amazonaws.com"}, "url"),
        ({"url": "https://vpce-1-2.sts.eu-central-1.vpce.amazonaws.com"}, None),
        ({"chain": {"role_arn": SECOND}, "role_arn": "", "profiles": {"a": {"role_arn": ROLE}}}, "chain"),
        ({"chain": {"role_arn": "x"}}, "chain.role_arn"),
        ({"chain": {"role_arn": SECOND.replace("aws", "aws-cn")}}, "chain.role_arn"),
        ({"chain": {"role_arn": SECOND}, "duration": "61m"}, "chain"),
        ({"chain": {"role_arn": SECOND, "external_id": "a b"}}, "chain.external_id"),
        ({"chain": {"role_arn": SECOND, "tags": {"a": "semi;colon"}}}, "chain.tags"),
        ({"chain": {"role_arn": SECOND, "tags": {"aws:x": "1"}}}, "chain.tags"),
        ({"chain": {"role_arn": SECOND, "tags": {"x": "1", "X": "2"}}}, "chain.tags"),
        ({"chain": {"role_arn": SECOND, "tags": {"branch": "1"}, "job_tags": True}}, "chain.tags"),
        ({"chain": {"role_arn": SECOND, "tags": {f"k{n}": "" for n in range(51)}}}, "chain.tags"),
        ({"chain": {"role_arn": SECOND, "transitive_tags": ["Repository"]}}, "chain.transitive_tags"),
        ({"chain": {"role_arn": SECOND, "transitive_tags": ["Repository"], "job_tags": True}}, None),
        ({"chain": {"role_arn": SECOND}, "allowed_account_ids": ["111122223333"]}, "chain.role_arn"),
        ({"chain": {"role_arn": SECOND}, "allowed_account_ids": ["444455556666"]}, None),
        ({"profiles": {"a": {"role_arn": ROLE, "chain": {"role_arn": "x"}}}}, "profiles.a.chain.role_arn"),
        (
            {"profiles": {"a": {"role_arn": ROLE, "duration": "2h", "chain": {"role_arn": SECOND}}}},
            "profiles.a.chain",
        ),
        ({"url": "https://bucket.s3.amazonaws.com"}, "url"),
        ({"profiles": {"a]b": {"role_arn": ROLE}}}, "profiles"),
        ({"profiles": {"a": {"role_arn": "x"}}}, "profiles.a.role_arn"),
        ({"profiles": {"a": {"role_arn": ROLE, "duration": "1s"}}}, "profiles.a.duration"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], key: str | None) -> None:
    if key is None:
        assert complete(made(**given), {}).role_arn == ROLE
        return
    with pytest.raises(UsageError) as caught:
        complete(made(**given), {})
    assert f"`{key}`" in caught.value.summary
    assert caught.value.change


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        (github_claims(), "acme-trainer@7421359018"),
        (github_claims("acme/" + "x" * 90), "acme-" + "x" * 48 + "@7421359018"),
        (gitlab_claims("group/sub group/ünicode"), "group-sub-group-nicode@574"),
        ({"sub": "system:serviceaccount:ns:name"}, "system-serviceaccount-ns-name"),
        ({}, "keylease"),
    ],
)
def test_session_names_tell_repository_and_run(claims: dict[str, Any], name: str) -> None:
    assert session_name(claims) == name
    assert len(name) <= 64


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b"\xff",
        b"<!DOCTYPE a><a>x</a>",
        b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
        b"<a>" * 13 + b"x" + b"</a>" * 13,
        b'<?xml version="1.0" encoding="no-such"?><a>x</a>',
    ],
)
def test_what_is_no_plain_xml_is_nothing(body: bytes) -> None:
    assert parse(body) == {}


def test_leaves_have_paths() -> None:
    body = b'<r xmlns="urn:x" xmlns:p="urn:y"><p:a>1&amp;2</p:a><b> <c>3</c> </b></r>'
    assert parse(body) == {"r/a": "1&2", "r/b/c": "3"}


def policy_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.partition("<<'EOF'\n")[2].rpartition("\nEOF")[0])
    return found


def test_the_trust_binds_subject_and_repository_id() -> None:
    trust = trust_for({**github_claims(), "iss": ISSUER, "aud": "sts.amazonaws.com"}, ROLE, "sts.amazonaws.com")
    (statement,) = policy_of(trust.text)["Statement"]
    host = ISSUER.removeprefix("https://")
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{host}"}
    assert statement["Condition"] == {
        "StringEquals": {
            f"{host}:aud": "sts.amazonaws.com",
            f"{host}:sub": "repo:acme/trainer:ref:refs/heads/main",
            f"{host}:repository_id": "817264",
            f"{host}:ref": "refs/heads/main",
        }
    }
    assert "--role-name ci " in trust.text


def test_the_trust_of_gitlab_binds_what_iam_knows() -> None:
    claims = {**gitlab_claims(), "iss": "https://gitlab.example.com", "aud": "x"}
    (statement,) = policy_of(trust_for(claims, ROLE, "sts.amazonaws.com").text)["Statement"]
    assert set(statement["Condition"]["StringEquals"]) == {"gitlab.example.com:aud", "gitlab.example.com:sub"}


@pytest.mark.parametrize("ref", ["refs/heads/*", "refs/heads/${aws:username}", "refs/heads/a?"])
def test_no_pattern_gets_into_a_trust(ref: str) -> None:
    assert trust_for({**github_claims(ref=ref), "iss": ISSUER}, ROLE, "a").text == ""


def test_claims_stay_inside_the_policy(tmp_path: Any) -> None:
    sub = "repo:a/b:ref:refs/heads/x'$(touch owned)`touch owned`\nEOF\ntouch owned\n##[x"
    text = trust_for({**github_claims(), "sub": sub, "iss": ISSUER}, ROLE, "sts.amazonaws.com").text
    assert text.isascii()
    assert policy_of(text)["Statement"][0]["Condition"]["StringEquals"][f"{ISSUER[8:]}:sub"] == sub
    done = subprocess.run(["sh", "-c", f"aws() {{ cat >/dev/null; }}\n{text}"], cwd=tmp_path, input="", check=False)
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())


def test_the_trust_of_a_second_role_names_the_first_and_the_external_id() -> None:
    chain = AwsChain(role_arn=SECOND, external_id="o'clock", tags={"a": "b"})
    text = chain_trust(ROLE, chain).text
    policies = [json.loads(part.partition("\nEOF")[0]) for part in text.split("<<'EOF'\n")[1:]]
    assert policies[0]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ROLE},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "o'clock"}},
        },
        {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "sts:TagSession"},
    ]
    may = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": SECOND}
    assert policies[1]["Statement"] == [may]
    assert "# in account 444455556666: the second role trusts the first one\n" in text
    assert "put-role-policy --role-name ci --policy-name assume-pusher " in text


def test_the_trust_has_what_is_read_with_the_last_role() -> None:
    reads = [
        Read("aws", "aws-sm", "prod/db"),
        Read("aws", "aws-ssm", "/app/key"),
        Read("aws", "aws-sm", "$(touch x)"),
    ]
    chain = AwsChain(role_arn=SECOND)
    settings = complete(made(chain=msgspec.to_builtins(chain)), {})
    context = Context({}, Masker(), Deadline(1))
    claims = {**github_claims(), "iss": ISSUER, "aud": "sts.amazonaws.com"}
    trust = AwsExchanger("aws", settings, context, reads).trust(claims)
    policies = [json.loads(part.partition("\nEOF")[0]) for part in trust.text.split("<<'EOF'\n")[1:]]
    assert len(policies) == 4
    assert [(each["Action"], each["Resource"]) for each in policies[3]["Statement"]] == [
        ("secretsmanager:GetSecretValue", ["arn:aws:secretsmanager:eu-central-1:444455556666:secret:prod/db-??????"]),
        ("ssm:GetParameters", ["arn:aws:ssm:eu-central-1:444455556666:parameter/app/key"]),
    ]
    assert "put-role-policy --role-name pusher " in trust.text.partition("# what it reads\n")[2]
    assert "touch" not in trust.text
    assert any("kms:Decrypt" in note for note in trust.notes)
    assert len(AwsExchanger("aws", settings, context).trust(claims).text.split("<<'EOF'\n")) == 4


def test_job_tags_of_other_platforms() -> None:
    assert job_tags(gitlab_claims())["Repository"] == gitlab_claims()["project_path"]
    assert job_tags(gitlab_claims())["RunId"] == "574"
    assert job_tags({"repository": "x" * 300, "actor": "", "run_id": 7}) == {"Repository": "x" * 256, "RunId": "7"}
    assert job_tags({"repository": "bücher/日本 x", "ref": "a\nb\u2028"}) == {
        "Repository": "bücher/日本 x",
        "Branch": "a_b_",
    }


def test_no_sdk_is_loaded() -> None:
    code = "import sys, keylease.exchange.aws; print([m for m in sys.modules if m.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
