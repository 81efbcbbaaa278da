"""What a team writes itself: a short script with requests and boto3, as a baseline for `make bench`.

It takes a role and asks whose the credentials are, and no more: no errors explained, no existing credentials looked at.
Reads its inputs as the action of AWS does, under the same names.
"""

import os
import uuid

import boto3  # type: ignore[import-untyped]
import requests

env = os.environ
answer = requests.get(
    env["ACTIONS_ID_TOKEN_REQUEST_URL"],
    params={"audience": env["INPUT_AUDIENCE"]},
    headers={"Authorization": f"Bearer {env['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    timeout=10,
)
answer.raise_for_status()

region, endpoint = env["INPUT_AWS-REGION"], env["INPUT_STS-ENDPOINT"]
# The first call needs no credentials, and must not look for some on the machine.
sts = boto3.client(
    "sts",
    region_name=region,
    endpoint_url=endpoint,
    aws_access_key_id="none",
    aws_secret_access_key="none",
)
found = sts.assume_role_with_web_identity(
    RoleArn=env["INPUT_ROLE-TO-ASSUME"], RoleSessionName="GitHubActions", WebIdentityToken=answer.json()["value"]
)["Credentials"]
values = {
    "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
    "AWS_SESSION_TOKEN": found["SessionToken"],
}
for value in values.values():
    print(f"::add-mask::{value}")

whose = boto3.client(
    "sts",
    region_name=region,
    endpoint_url=endpoint,
    aws_access_key_id=found["AccessKeyId"],
    aws_secret_access_key=found["SecretAccessKey"],
    aws_session_token=found["SessionToken"],
).get_caller_identity()
if whose["Account"] not in env["INPUT_ALLOWED-ACCOUNT-IDS"].split(","):
    raise SystemExit(f"{whose['Account']}: another account")

values |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
with open(env["GITHUB_ENV"], "a", encoding="utf-8") as file:
    for name, value in values.items():
        delimiter = f"ghadelimiter_{uuid.uuid4()}"
        file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
