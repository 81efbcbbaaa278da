"""What Secrets Manager and Parameter Store hold: versions, ARNs, batches, and what is no value.

Moto stores, and verifies nothing; the front before it (tests.fakes.aws_signature) verifies what AWS verifies.
"""

import json
import re
from typing import Any

import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.aws_sm import AwsSecretsManager
from keylease.managers.aws_ssm import AwsParameterStore
from keylease.model import Document, Read
from tests.contract.aws_stores import REGION, Stores, parameter, parameters, refused, secret, secrets, stores, value
from tests.fakes.misbehaving import reply
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> Stores:
    """Both stores, and a role that may read what is below `aws.prefix`."""
    return stores(request)


def pasted(error: KeyleaseError) -> dict[str, Any]:
    """The policy in the command that an error shows."""
    found = re.search(r"<<'EOF'\n(.*?)\nEOF", error.change, re.DOTALL)
    assert found, error.change
    policy: dict[str, Any] = json.loads(found[1])
    return policy


# Secrets.


def test_versions_and_stages(aws: Stores) -> None:
    read, made = secret(aws, "v", "old-1")
    client = aws.moto.client("secretsmanager")
    new = client.put_secret_value(SecretId=read.path, SecretString="new-1")
    wanted = {
        (): "new-1",
        (("version", made["VersionId"]),): "old-1",
        (("stage", "AWSPREVIOUS"),): "old-1",
        (("stage", "AWSCURRENT"), ("version", new["VersionId"])): "new-1",
    }
    for options, text in wanted.items():
        document = secrets(aws).read(Read("aws", "aws-sm", read.path, options))
        assert value(aws, document) == text
        assert document.version == (new if text == "new-1" else made)["VersionId"]
    with pytest.raises(NotFoundError, match="no such version"):
        secrets(aws).read(Read("aws", "aws-sm", read.path, (("version", "0" * 32),)))
    both = (("stage", "AWSPREVIOUS"), ("version", new["VersionId"]))
    assert "not associated" in refused(secrets(aws), Read("aws", "aws-sm", read.path, both)).summary


@pytest.mark.parametrize(
    "option", [("version", "3"), ("version", "x" * 65), ("version", "a b" + "x" * 30), ("stage", ""), ("stage", "a b")]
)
def test_what_can_be_no_version(option: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=option[0]):
        AwsSecretsManager.check(Read("aws", "aws-sm", "x", (option,)))


def test_a_deleted_secret_can_be_had_back(aws: Stores) -> None:
    read, _ = secret(aws, "gone", "value-1")
    aws.moto.client("secretsmanager").delete_secret(SecretId=read.path)
    with pytest.raises(NotFoundError, match="scheduled for deletion") as caught:
        secrets(aws).read(read)
    assert f"restore-secret --region {REGION} --secret-id {read.path}" in caught.value.change


def test_arns(aws: Stores) -> None:
    _, made = secret(aws, "arn", "value-1")
    _, far = secret(aws, "arn", "value-far", "us-west-2")
    for region in (REGION, "us-west-2"):
        aws.allow("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{aws.prefix}/*")
    assert value(aws, secrets(aws).read(Read("aws", "aws-sm", made["ARN"]))) == "value-1"
    assert value(aws, secrets(aws).read(Read("aws", "aws-sm", far["ARN"]))) == "value-far", "the ARN's region"
    assert "/us-west-2/secretsmanager/" in aws.proxy.requests[-1].header("Authorization")
    with pytest.raises(NotFoundError) as caught:
        secrets(aws).read(Read("aws", "aws-sm", made["ARN"][:-7] + "x"))
    assert "lacks the six characters" in caught.value.cause
    cn = made["ARN"].replace("arn:aws:", "arn:aws-cn:")
    with pytest.raises(UsageError, match="aws-cn"):
        secrets(aws).read(Read("aws", "aws-sm", cn))


def test_a_slash_in_front_belongs_to_the_name(aws: Stores) -> None:
    path = f"/{aws.prefix}/rooted"
    aws.moto.client("secretsmanager").create_secret(Name=path, SecretString="value-1")
    assert value(aws, secrets(aws).read(Read("aws", "aws-sm", path))) == "value-1"
    with pytest.raises(NotFoundError):
        secrets(aws).read(Read("aws", "aws-sm", path[1:]))


@pytest.mark.parametrize("code", ["ThrottlingException", "com.amazonaws.x#TooManyRequestsException:http://x/"])
def test_throttling_is_waited_for(aws: Stores, code: str) -> None:
    read, _ = secret(aws, "ci", "value-1")
    busy = reply(400, json={"__type": code, "message": "Rate exceeded"})
    aws.proxy.fail("/", busy)
    assert value(aws, secrets(aws).read(read)) == "value-1"
    aws.proxy.always("/", busy)
    with pytest.raises(UnreachableError, match="after all attempts"):
        secrets(aws, retries=1).read(read)


def test_other_refusals_are_final(aws: Stores) -> None:
    read, _ = secret(aws, "ci", "value-1")
    for code, docs in (("DecryptionFailure", "aws-kms"), ("InvalidParameterException", "aws-read")):
        aws.proxy.requests.clear()
        aws.proxy.fail("/", reply(400, json={"__type": code, "message": "line\none"}))
        error = refused(secrets(aws), read)
        assert f"{code}: line one" in error.summary
        assert error.docs.endswith(f"#{docs}")
        assert len(aws.proxy.requests) == 1
    aws.proxy.fail("/", reply(400, json={"__type": "InvalidKeyId", "message": "disabled"}))
    assert refused(parameters(aws), parameter(aws, "p", "x")).docs.endswith("#aws-kms")


@pytest.mark.parametrize("answer", [reply(403, body=b"<html>no</html>"), reply(400, json={"error": "no"})])
def test_a_firewalls_no_is_not_awss(aws: Stores, answer: Any) -> None:
    aws.proxy.fail("/", answer)
    with pytest.raises(UnreachableError, match="not AWS's own"):
        secrets(aws).read(secret(aws, "ci", "value-1")[0])


@pytest.mark.parametrize("data", ["%%%", "QQ", 7, None])
def test_what_is_no_base64_is_no_secret(aws: Stores, data: object) -> None:
    aws.proxy.fail("/", reply(json={"SecretBinary": data}))
    with pytest.raises(UnreachableError, match="holds no secret"):
        secrets(aws).read(secret(aws, "ci", "value-1")[0])


# Parameters.


def test_ten_at_a_time(aws: Stores) -> None:
    reads = [parameter(aws, f"p{n:02}", f"value-{n}") for n in range(23)]
    manager = parameters(aws)
    groups = manager.grouped(reads)
    assert [len(group) for group in groups] == [10, 10, 3]
    found = [one for group in groups for one in manager.read_many(group)]
    assert [value(aws, d) for d in found if isinstance(d, Document)] == [f"value-{n}" for n in range(23)]
    assert aws.proxy.counts["/"] == 3


def test_one_that_is_refused_leaves_the_others(aws: Stores) -> None:
    reads = [parameter(aws, f"p{n}", f"value-{n}") for n in range(3)]
    other = Read("aws", "aws-ssm", f"/other-{aws.prefix}/x")
    aws.moto.client("ssm").put_parameter(Name=other.path, Value="x", Type="String")
    missing = Read("aws", "aws-ssm", f"/{aws.prefix}/missing")
    found = parameters(aws).read_many([reads[0], other, reads[1], missing, reads[2]])
    assert [value(aws, d) for d in found if isinstance(d, Document)] == ["value-0", "value-1", "value-2"]
    assert isinstance(found[1], RefusedError)
    assert not isinstance(found[1], NotFoundError)
    assert pasted(found[1])["Statement"][0]["Resource"] == [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{other.path}"]
    assert isinstance(found[3], NotFoundError)
    assert aws.proxy.counts["/"] == 6


def test_versions_and_labels(aws: Stores) -> None:
    first = parameter(aws, "v", "one", version="1")
    second = parameter(aws, "v", "two", version="2")
    aws.moto.client("ssm").label_parameter_version(Name=first.path, ParameterVersion=1, Labels=["stable"])
    labelled = Read("aws", "aws-ssm", first.path, (("version", "stable"),))
    latest = Read("aws", "aws-ssm", first.path)
    reads = [first, second, labelled, latest]
    manager = parameters(aws)
    groups = manager.grouped(reads)
    assert [len(group) for group in groups] == [1, 1, 1, 1], "no parameter twice in one request"
    documents = [manager.read(read) for read in reads]
    assert [value(aws, document) for document in documents] == ["one", "two", "one", "two"]
    assert [document.version for document in documents] == ["1", "2", "1", "2"]
    assert aws.proxy.requests[0].json()["Names"] == [f"{first.path}:1"]
    for version in ("9", "nolabel"):
        with pytest.raises(NotFoundError, match=f"version {version}"):
            manager.read(Read("aws", "aws-ssm", first.path, (("version", version),)))


@pytest.mark.parametrize("version", ["0", "1x", "awslabel", "SSMlabel", "a b", "a:b", ""])
def test_what_is_no_version_or_label(version: str) -> None:
    with pytest.raises(UsageError, match="version"):
        AwsParameterStore.check(Read("aws", "aws-ssm", "x", (("version", version),)))


def test_a_version_behind_the_name_is_an_option(aws: Stores) -> None:
    with pytest.raises(UsageError, match="is an option") as caught:
        AwsParameterStore.check(Read("aws", "aws-ssm", "/a/b:3"))
    assert "aws-ssm:///a/b with version: 3" in caught.value.change


def test_a_wrong_version_is_not_taken(aws: Stores) -> None:
    read = parameter(aws, "v", "one", version="2")
    answer = {"Parameters": [{"Name": read.path, "Value": "one", "Version": 1}], "InvalidParameters": []}
    aws.proxy.fail("/", reply(json=answer))
    with pytest.raises(UnreachableError, match="says nothing of this parameter"):
        parameters(aws).read(read)


def test_arns_of_parameters_and_plain_names(aws: Stores) -> None:
    read = parameter(aws, "shared", "value-1")
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{read.path}"
    assert value(aws, parameters(aws).read(Read("aws", "aws-ssm", arn))) == "value-1"
    far = Read("aws", "aws-ssm", arn.replace(REGION, "us-west-2"))
    assert len(parameters(aws).grouped([read, far])) == 2, "a request is one region's"
    plain = aws.prefix + "-plain"
    aws.moto.client("ssm").put_parameter(Name=plain, Value="value-2", Type="String")
    aws.allow("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{plain}")
    assert value(aws, parameters(aws).read(Read("aws", "aws-ssm", plain))) == "value-2"


def test_json_in_a_parameter_has_fields(aws: Stores) -> None:
    document = parameters(aws).read(parameter(aws, "json", '{"user": "u-1", "n": 3}'))
    assert value(aws, document, "user") == "u-1"
    assert value(aws, document, "n") == "3"


def test_parameters_that_aws_publishes(aws: Stores) -> None:
    read = Read("aws", "aws-ssm", "/aws/service/global-infrastructure/regions/eu-central-1/longName")
    error = refused(parameters(aws), read)
    (resource,) = pasted(error)["Statement"][0]["Resource"]
    assert resource == f"arn:aws:ssm:{REGION}::parameter{read.path}", "they belong to no account"
    aws.front.policies.append(pasted(error))
    assert value(aws, parameters(aws).read(read)) == "Europe (Frankfurt)"


def test_a_parameter_that_stands_for_a_secret(aws: Stores, seeded: Seeded) -> None:
    text = seeded.new("behind")
    behind, _ = secret(aws, "behind+it@x", text)
    read = Read("aws", "aws-ssm", f"/aws/reference/secretsmanager/{behind.path}")
    aws.allow("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{read.path}")
    assert value(aws, parameters(aws).read(read)) == text
    # Moto answers with the secret's name, which is not the one asked for: among others, each is then asked for alone.
    plain = parameter(aws, "p", "plain-1")
    found = parameters(aws).read_many([plain, read])
    assert [value(aws, d) for d in found if isinstance(d, Document)] == ["plain-1", text]
