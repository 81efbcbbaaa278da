"""A lease from one vendor, and a read with it, load nothing of another's.

Each runs in a new interpreter, against the server of the contract battery's harness: log in, be refused, print the
trust, read a secret, revoke. Then `sys.modules` tells what all that took.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Lease, Read
from keylease.registry import EXCHANGERS, MANAGERS
from tests.contract.harness import Harness
from tests.contract.manager_harness import ManagerHarness

HEAVY = {
    "anthropic", "azure", "boto3", "botocore", "conjur_api", "cryptography", "databricks", "flask", "github", "gitlab",
    "google", "httpx", "huggingface_hub", "hvac", "jinja2", "jwt", "moto", "nacl", "openai", "pydantic", "s3transfer",
    "wandb", "yaml",
}  # fmt: skip
"""Libraries that no lease needs, and those that one vendor's needs."""

NEEDED = {"vault": {"hvac"}, "aws-sm": {"botocore"}, "aws-ssm": {"botocore"}}
"""hvac is the client; botocore signs requests (SigV4)."""

SCRIPT = """
import json, sys
job = json.load(sys.stdin)
from keylease.context import Context
from keylease.deadline import Deadline
from keylease.errors import RefusedError
from keylease.masking import Masker
from keylease.model import IdentityToken, Read
from keylease.registry import EXCHANGERS, MANAGERS
import msgspec

def token(jwt, claims):
    return IdentityToken(context.seal(jwt, "identity token"), claims, "github", "a test", job["audience"])

context = Context(job["env"], Masker(), Deadline(30))
kind = EXCHANGERS.load(job["kind"])
settings = kind.complete(msgspec.convert(job["settings"], kind.Settings), job["env"])
exchanger = kind("vendor", settings, context)
lease = exchanger.exchange(token(job["jwt"], job["claims"]))
exchanger.trust(job["claims"])
if "other" in job:
    try:
        exchanger.exchange(token(job["other"], job["claims"]))
        sys.exit("another job was let in")
    except RefusedError as error:
        error.diagnostics(debug=True)
if "read" in job:
    read = Read("vendor", job["read"]["scheme"], job["read"]["path"], tuple(map(tuple, job["read"]["options"])))
    manager = MANAGERS.load(read.scheme)(lease, context)
    manager.check(read)
    document = manager.read(read)
    assert [document.value([name], context.seal) for name in document.names()]
if lease.revocation:
    kind.revoke(lease.revocation, context)
context.http.close()
print(json.dumps(sorted(sys.modules)))
"""


def loaded(exchanger: Exchanger, token: IdentityToken, **further: Any) -> set[str]:
    """The modules that a new interpreter has after the whole of it."""
    settings: Mapping[str, Any] = msgspec.to_builtins(exchanger.settings, enc_hook=lambda _: None)
    job = {
        "kind": exchanger.kind,
        "settings": {name: value for name, value in settings.items() if value is not None},
        "env": {"PATH": "/usr/bin"},
        "jwt": token.jwt.reveal(),
        "claims": token.claims,
        "audience": token.audience,
        **further,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def strangers(modules: set[str], kind: str, scheme: str = "") -> list[str]:
    """What has no place there: heavy libraries, other vendors' modules."""
    needed = NEEDED.get(scheme or kind, set())
    mine = {f"keylease.exchange.{kind}", f"keylease.managers.{scheme.replace('-', '_')}"}
    shared = {"keylease.exchange", "keylease.exchange.base", "keylease.exchange.oauth"}
    shared |= {"keylease.managers", "keylease.managers.base"}
    other = tuple(f"keylease.vendors.{name}_" for name in EXCHANGERS if name != kind)
    return sorted(
        name
        for name in modules
        if name.partition(".")[0] in HEAVY - needed
        or (name.startswith(("keylease.exchange", "keylease.managers")) and name not in mine | shared)
        or name.startswith(other)
    )


@pytest.mark.parametrize("kind", list(EXCHANGERS))
def test_a_lease_loads_no_other_vendors_code(kind: str, request: pytest.FixtureRequest) -> None:
    harness: Harness = importlib.import_module(f"tests.contract.harness_{kind}").make(request)
    exchanger = harness.exchanger()
    modules = loaded(exchanger, harness.token(), other=harness.token(**harness.other).jwt.reveal())
    assert f"keylease.exchange.{kind}" in modules
    assert strangers(modules, kind) == []


@pytest.mark.parametrize("scheme", list(MANAGERS))
def test_a_read_loads_no_other_vendors_code(
    scheme: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = MANAGERS.load(scheme).provider
    module = importlib.import_module(f"tests.contract.manager_{scheme.replace('-', '_')}")
    harness: ManagerHarness = module.make(request)
    seen: list[tuple[Exchanger, IdentityToken]] = []
    exchange = EXCHANGERS.load(kind).exchange

    def watched(self: Exchanger, token: IdentityToken) -> Lease:
        seen.append((self, token))
        return exchange(self, token)

    # How the harness logs in is its own affair: the same is done again in the new interpreter.
    monkeypatch.setattr(EXCHANGERS.load(kind), "exchange", watched)
    harness.manager()
    read: Read = harness.put("imports", {"field": "value"})
    exchanger, token = seen[0]
    told = {"scheme": read.scheme, "path": read.path, "options": read.options}
    modules = loaded(exchanger, token, read=told)
    assert f"keylease.managers.{scheme.replace('-', '_')}" in modules
    assert strangers(modules, kind, scheme) == []
