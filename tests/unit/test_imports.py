"""A lease from one vendor loads nothing of another's."""

import json
import subprocess
import sys

import pytest

from keylease.registry import EXCHANGERS

HEAVY = {
    "anthropic", "azure", "boto3", "botocore", "cryptography", "databricks", "github", "gitlab", "google", "hvac",
    "huggingface_hub", "jinja2", "jwt", "nacl", "openai", "yaml",
}  # fmt: skip

SCRIPT = """
import json, sys
from keylease.registry import EXCHANGERS
EXCHANGERS.load(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("kind", list(EXCHANGERS))
def test_an_exchanger_loads_no_other_vendors_code(kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, kind], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert f"keylease.exchange.{kind}" in loaded
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)
    others = [other for other in EXCHANGERS if other != kind]
    strangers = [
        name
        for name in loaded
        for other in others
        if name == f"keylease.exchange.{other}" or name.startswith(f"keylease.vendors.{other}_")
    ]
    assert strangers == []
