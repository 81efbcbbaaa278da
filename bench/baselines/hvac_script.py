"""What a team writes itself: a short script with requests and hvac, as a baseline for `make bench`.

It does the same job as a lease and no more: no retries, no checks, no errors explained, nothing revoked.
Reads its inputs as an action does (INPUT_URL, INPUT_ROLE, INPUT_PATH, INPUT_JWTGITHUBAUDIENCE, INPUT_SECRETS).
"""

import os
import uuid

import hvac
import requests

env = os.environ
answer = requests.get(
    env["ACTIONS_ID_TOKEN_REQUEST_URL"],
    params={"audience": env["INPUT_JWTGITHUBAUDIENCE"]},
    headers={"Authorization": f"Bearer {env['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    timeout=10,
)
answer.raise_for_status()

client = hvac.Client(url=env["INPUT_URL"])
client.auth.jwt.jwt_login(role=env["INPUT_ROLE"], jwt=answer.json()["value"], path=env["INPUT_PATH"])

values = {}
for line in env["INPUT_SECRETS"].split(";"):
    if line.strip():
        source, name = line.split("|")
        path, field = source.split()
        document = client.read(path)
        if document is None:
            raise SystemExit(f"{path}: not found")
        values[name.strip()] = document["data"]["data"][field]

for value in values.values():
    print(f"::add-mask::{value}")
with open(env["GITHUB_ENV"], "a", encoding="utf-8") as file:
    for name, value in values.items():
        delimiter = f"ghadelimiter_{uuid.uuid4()}"
        file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
