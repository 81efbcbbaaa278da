"""What a team writes itself to keep GitHub's secrets in line, as a baseline for `make bench`: write all, each time.

requests and PyNaCl, one connection, one public key per repository; no plan, no ownership, no checks, no pace. What it
writes is on standard input, {name: value}: what reading it from a manager takes is left out.
Reads GITHUB_API_URL, SYNC_TOKEN, ORGANIZATION, PREFIX (of the repositories' names).
"""

import base64
import json
import os
import sys

import nacl.public
import requests

env = os.environ
values = json.load(sys.stdin)
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = f"Bearer {env['SYNC_TOKEN']}"
session.headers["Accept"] = "application/vnd.github+json"
session.headers["X-GitHub-Api-Version"] = "2022-11-28"


def call(method: str, path: str, **more: object) -> requests.Response:
    answer = session.request(method, env["GITHUB_API_URL"] + path, timeout=20, **more)  # type: ignore[arg-type]
    answer.raise_for_status()
    return answer


names, page = [], 1
while True:
    found = call("GET", f"/orgs/{env['ORGANIZATION']}/repos", params={"per_page": 100, "page": page})
    names += [each["full_name"] for each in found.json() if each["name"].startswith(env["PREFIX"])]
    if "next" not in found.links:
        break
    page += 1

for name in names:
    key = call("GET", f"/repos/{name}/actions/secrets/public-key").json()
    box = nacl.public.SealedBox(nacl.public.PublicKey(base64.b64decode(key["key"])))
    for secret, value in values.items():
        sealed = base64.b64encode(box.encrypt(value.encode())).decode()
        body = {"encrypted_value": sealed, "key_id": key["key_id"]}
        call("PUT", f"/repos/{name}/actions/secrets/{secret}", json=body)
