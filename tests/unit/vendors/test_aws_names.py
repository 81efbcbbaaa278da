"""AWS's stores: names, ARNs, addresses, and the policy for what a run reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import botocore.session  # type: ignore[import-untyped]
import pytest

from keylease.errors import UsageError
from keylease.model import Read
from keylease.secret import Secret
from keylease.vendors.aws_names import parameter_of, secret_of
from keylease.vendors.aws_policy import attach, read_policy
from keylease.vendors.aws_session import AwsSession, Place, endpoints

PLACE = Place("aws", "eu-central-1", "111122223333")
SECRET = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:"
PARAMETER = "arn:aws:ssm:eu-central-1:111122223333:parameter/"


def session(role: str, region: str = "eu-central-1", **given: str) -> AwsSession:
    nothing = Secret("x")
    return AwsSession(nothing, nothing, nothing, role, region, 5.0, 2, given)


@pytest.mark.parametrize(
    ("path", "resource", "exact"),
    [
        ("db", SECRET + "db-??????", False),
        ("team/prod/db", SECRET + "team/prod/db-??????", False),
        ("/rooted", SECRET + "/rooted-??????", False),
        ("ends-in-AbCdEf", SECRET + "ends-in-AbCdEf-??????", False),
        (SECRET + "db-AbCdEf", SECRET + "db-AbCdEf", True),
        (SECRET + "db", SECRET + "db-??????", False),
    ],
)
def test_secrets(path: str, resource: str, exact: bool) -> None:
    found = secret_of(path, PLACE)
    assert found
    assert (found.resource, found.exact, found.id) == (resource, exact, path)


def test_an_arn_has_its_own_place() -> None:
    found = secret_of("arn:aws-us-gov:secretsmanager:us-gov-west-1:999988887777:secret:a-AbCdEf", PLACE)
    assert found
    assert (found.region, found.partition, found.account) == ("us-gov-west-1", "aws-us-gov", "999988887777")


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("plain", PARAMETER + "plain"),
        ("/a/b", PARAMETER + "a/b"),
        ("/aws/service/ami/x", "arn:aws:ssm:eu-central-1::parameter/aws/service/ami/x"),
        ("/aws/reference/secretsmanager/a+b@c", PARAMETER + "aws/reference/secretsmanager/a+b@c"),
        (PARAMETER + "a/b", PARAMETER + "a/b"),
    ],
)
def test_parameters(path: str, resource: str) -> None:
    found = parameter_of(path, PLACE)
    assert found
    assert found.resource == resource


@pytest.mark.parametrize("path", ["a b", "a*", "a?", "a:1", "ü", "", "x" * 2000, "arn:aws:s3:::bucket", "a\n", "a,b"])
def test_what_is_no_name(path: str) -> None:
    assert secret_of(path, PLACE) is None
    assert parameter_of(path, PLACE) is None


@pytest.mark.parametrize(
    "region", ["eu-central-1.evil.example", "eu-central-1/", "EU-central-1", "x", "eu--1", "a@b-c-1"]
)
def test_a_region_is_no_host_of_somebody_else(region: str) -> None:
    assert secret_of(f"arn:aws:secretsmanager:{region}:111122223333:secret:a-AbCdEf", PLACE) is None
    assert parameter_of(f"arn:aws:ssm:{region}:111122223333:parameter/a", PLACE) is None


# Where they are.


@pytest.mark.parametrize(
    ("partition", "region"),
    [
        ("aws", "eu-central-1"),
        ("aws-cn", "cn-north-1"),
        ("aws-us-gov", "us-gov-west-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ],
)
@pytest.mark.parametrize("service", ["secretsmanager", "ssm"])
def test_the_sdk_asks_the_same_host(partition: str, region: str, service: str) -> None:
    ours = session(f"arn:{partition}:sts::111122223333:assumed-role/ci/x", region)
    client = botocore.session.Session().create_client(
        service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x"
    )
    assert ours.url(service, region) == client.meta.endpoint_url


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("arn:aws:sts::111122223333:assumed-role/ci/acme@1", "ci"),
        ("arn:aws:iam::111122223333:role/team/path/ci", "ci"),
    ],
)
def test_the_role_has_a_name_and_a_place(role: str, name: str) -> None:
    assert session(role).role_name == name
    assert session(role).place == PLACE


@pytest.mark.parametrize(
    "url",
    [
        "https://secretsmanager.eu-central-1.amazonaws.com",
        "https://secretsmanager-fips.eu-central-1.amazonaws.com/",
        "https://secretsmanager.eu-central-1.api.aws",
        "https://vpce-0a-1b.secretsmanager.eu-central-1.vpce.amazonaws.com",
        "http://127.0.0.1:4566",
    ],
)
def test_the_jobs_own_addresses(url: str) -> None:
    wanted = {"secretsmanager": url.rstrip("/")}
    env = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": url}
    assert endpoints({}, "aws", "eu-central-1", env) == wanted
    assert endpoints({"secretsmanager": url, "ssm": ""}, "aws", "eu-central-1", {}) == wanted
    assert endpoints({"secretsmanager": "http://127.0.0.1:1"}, "aws", "eu-central-1", env) != wanted, "settings win"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://bucket.s3.amazonaws.com",
        "https://vpce-1.vpce-svc-2.eu-central-1.vpce.amazonaws.com",
        "https://secretsmanager.eu-central-1.amazonaws.com.evil.example",
        "http://ssm.eu-central-1.amazonaws.com",
    ],
)
def test_signed_requests_go_to_nobody_else(url: str) -> None:
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL_SSM"):
        endpoints({}, "aws", "eu-central-1", {"AWS_ENDPOINT_URL_SSM": url})
    with pytest.raises(UsageError, match="ssm_url"):
        endpoints({"ssm": url}, "aws", "eu-central-1", {})


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("https://ssm-fips.eu-central-1.amazonaws.com", "https://ssm-fips.us-west-2.amazonaws.com"),
        ("https://ssm.eu-central-1.api.aws", "https://ssm.us-west-2.api.aws"),
        ("https://vpce-1.ssm.eu-central-1.vpce.amazonaws.com", "https://ssm.us-west-2.amazonaws.com"),
        ("https://proxy.eu-central-1.example.com", "https://proxy.eu-central-1.example.com"),
        ("", "https://ssm.us-west-2.amazonaws.com"),
    ],
)
def test_another_region_has_another_address(given: str, asked: str) -> None:
    ours = session("arn:aws:sts::111122223333:assumed-role/ci/x", ssm=given)
    assert ours.url("ssm", "eu-central-1") == (given or "https://ssm.eu-central-1.amazonaws.com")
    assert ours.url("ssm", "us-west-2") == asked


# What is to be allowed.


def test_the_policy_names_each_thing_once() -> None:
    reads = [
        Read("aws", "aws-sm", "db"),
        Read("aws", "aws-sm", "db", (("stage", "AWSPREVIOUS"),)),
        Read("aws", "aws-sm", SECRET + "exact-AbCdEf"),
        Read("aws", "aws-ssm", "/a/b", (("version", "3"),)),
        Read("aws", "aws-ssm", "/aws/reference/secretsmanager/behind"),
    ]
    policy = read_policy(reads, PLACE)
    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": [SECRET + "db-??????", SECRET + "exact-AbCdEf", SECRET + "behind-??????"],
        },
        {
            "Effect": "Allow",
            "Action": "ssm:GetParameters",
            "Resource": [PARAMETER + "a/b", PARAMETER + "aws/reference/secretsmanager/behind"],
        },
    ]
    assert "*" not in json.dumps(policy)


def test_a_shell_runs_the_command_as_it_is(tmp_path: Path) -> None:
    policy = read_policy([Read("aws", "aws-sm", "a/b")], PLACE)
    (tmp_path / "aws").write_text(
        f'#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\nprint(sys.stdin.read(), end="")\n'
    )
    (tmp_path / "aws").chmod(0o755)
    done = subprocess.run(
        ["sh", "-e"],
        input=attach("ci", "a/b", policy),
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    )
    arguments, _, body = done.stdout.partition("\n")
    assert "'read-a-b-" in arguments, "a name of its own: a-b has another one"
    assert json.loads(body) == policy
    assert "'read-a-b'" in attach("ci", "a-b", policy) or "read-a-b --" in attach("ci", "a-b", policy)
