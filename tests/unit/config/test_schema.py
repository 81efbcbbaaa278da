"""The published JSON Schema: up to date, valid, and of one mind with the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from keylease import config
from keylease.config import keyleasefile, schema
from keylease.errors import UsageError

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "src/keylease/config/keylease.schema.json"
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yml")
    if re.search("^version: 1$", path.read_text(encoding="utf-8"), re.MULTILINE)
)
ENV = {"VAULT_ADDR": "https://vault.example.com", "JENKINS_URL": "https://jenkins.example.com"}

SYNC = """version: 1
providers:
  v: {type: vault, url: https://v.example.com}
targets:
  g: {type: github, token_env: SYNC_TOKEN}
ledger:
  key: vault://secret/keylease#key
sync:
  - name: ml-prod
    from: vault://secret/ml/*
    to: github://acme/trainer
"""

PROVIDER = "version: 1\nproviders:\n  v: {type: vault, url: https://v.example.com}\n"


def check(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(PUBLISHED), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_up_to_date() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema.json_text(), (
        f"run: keylease schema > {PUBLISHED.relative_to(ROOT)}"
    )


def test_it_is_a_schema_and_says_what_things_are() -> None:
    found = schema.json_schema()
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    bare = [
        f"{part}.{key}"
        for part, definition in found["$defs"].items()
        for key, value in definition["properties"].items()
        if "description" not in value
    ]
    assert bare == []


def test_there_are_examples() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"keylease.yml", "keylease-complete.yml", "gitlab.yml", "jenkins.yml"} <= names


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_fits_and_loads(path: Path) -> None:
    done = check(path)
    assert done.returncode == 0, done.stdout
    plan = config.load_file(path, ENV)
    assert plan.providers
    text = path.read_text(encoding="utf-8")
    if "\nsync:" in text:
        assert config.load_sync(path, ENV).syncs
    elif "\naudit:" in text:
        assert keyleasefile.load_inventory(path, ENV).collects
    else:
        assert plan.deliveries or plan.uses


@pytest.mark.parametrize(
    "text",
    [
        "providers: {}\n",
        "version: 2\n",
        "version: 1\nzzz: 1\n",
        "version: 1\nleases: {}\n",
        "version: 1\nsettings: {deadline: soon}\n",
        "version: 1\nsettings: {deadline: 0}\n",
        "version: 1\nsettings: {retries: 1.5}\n",
        "version: 1\nsettings: {revoke: 'true'}\n",
        "version: 1\nproviders: {'v v': {type: vault}}\n",
        "version: 1\nproviders: {v: {url: https://v.example.com}}\n",
        "version: 1\nproviders: {v: {type: vualt}}\n",
        "version: 1\nproviders: {v: {type: vault, urll: x}}\n",
        "version: 1\nproviders: {v: {type: vault, url: 1}}\n",
        "version: 1\nproviders: {v: {type: vault, method: jwtt}}\n",
        "version: 1\nproviders: {v: {type: vault, token: written-here}}\n",
        PROVIDER + "leases: [x]\n",
        PROVIDER + "leases: [{env: A}]\n",
        PROVIDER + "leases: [{use: v, secret: 'vault://a/b#c'}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b#c', env: [A]}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b', env: {A: 1}}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b', env: {}}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b#c', env: A, decode: rot13}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b#c', env: A, version: 0}]\n",
    ],
)
def test_what_it_refuses_the_code_refuses_too(text: str) -> None:
    import yaml

    errors = list(Draft202012Validator(schema.json_schema()).iter_errors(yaml.safe_load(text)))
    assert errors
    with pytest.raises(UsageError):
        config.load_text(text, "k.yml", ENV)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "version: 1\nsettings: {deadline: 1.5, timeout: 1h30m}\n",
        PROVIDER + "leases: [{use: v, rename: {VAULT_TOKEN: T}}]\n",
        PROVIDER + "leases: [{secret: 'vault://a/b', env: {A: b}, output: {a: b}, kv: 2, required: false}]\n",
        PROVIDER + "  w: {type: vault, url: https://w.example.com, token: {secret: 'vault://a/b#c', provider: v}}\n",
    ],
)
def test_what_the_code_takes_it_takes_too(text: str) -> None:
    import yaml

    config.load_text(text, "k.yml", ENV)
    assert list(Draft202012Validator(schema.json_schema()).iter_errors(yaml.safe_load(text))) == []


SYNCS = {
    "no name": SYNC.replace("name: ml-prod", "prune: true"),
    "a name with capitals": SYNC.replace("ml-prod", "ML"),
    "no from": SYNC.replace("    from: vault://secret/ml/*\n", ""),
    "no to": SYNC.replace("    to: github://acme/trainer\n", ""),
    "an empty from": SYNC.replace("vault://secret/ml/*", "[]"),
    "an unknown key": SYNC + "    prnue: true\n",
    "an unknown key of from": SYNC.replace("vault://secret/ml/*", "{secret: 'vault://a/b', nmae: x}"),
    "from without secret": SYNC.replace("vault://secret/ml/*", "{prefix: X_}"),
    "an unknown key of to": SYNC.replace("github://acme/trainer", "{repository: acme/trainer, zzz: 1}"),
    "an unknown case": SYNC.replace("github://acme/trainer", "{repository: acme/trainer, case: title}"),
    "an unknown drift": SYNC + "    on_drift: shout\n",
    "adopt a number": SYNC + "    adopt: 1\n",
    "no ledger": SYNC.replace("ledger:\n  key: vault://secret/keylease#key\n", ""),
    "a ledger without key": SYNC.replace("  key: vault://secret/keylease#key", "  kye: x"),
    "an unknown target type": SYNC.replace("type: github", "type: gitbuh"),
    "a target's unknown key": SYNC.replace("token_env:", "tokn_env:"),
    "a token in the file": SYNC.replace("token_env: SYNC_TOKEN", "token: written-here"),
    "a name without need": SYNC.replace("  g: {", "  'g g': {"),
}


@pytest.mark.parametrize("text", list(SYNCS.values()), ids=list(SYNCS))
def test_what_it_refuses_of_a_sync_the_code_refuses_too(text: str) -> None:
    import yaml

    assert list(Draft202012Validator(schema.json_schema()).iter_errors(yaml.safe_load(text)))
    with pytest.raises(UsageError, match=r"^k\.yml"):
        keyleasefile.parse_sync(text, "k.yml", {**ENV, "SYNC_TOKEN": "x"})


@pytest.mark.parametrize(
    "text",
    [
        SYNC,
        SYNC.replace("vault://secret/ml/*", "[{secret: 'vault://a/b#c', prefix: X_}, vault://secret/x]"),
        SYNC.replace("github://acme/trainer", "{target: g, repository: acme/trainer, kind: variable, include: A*}"),
        SYNC.replace(
            "github://acme/trainer", "{organization: acme, select: {names: [a*]}, names: {A: B}, case: lower}"
        ),
        SYNC + "    prune: true\n    adopt: [A, B]\n    on_drift: keep\n",
        SYNC.replace("key: vault://secret/keylease#key", "key: {secret: 'vault://secret/keylease#key', provider: v}"),
        SYNC.replace("token_env: SYNC_TOKEN", "token: {secret: 'vault://github/token#token'}, timeout: 10s"),
    ],
)
def test_what_the_code_takes_of_a_sync_it_takes_too(text: str) -> None:
    import yaml

    assert list(Draft202012Validator(schema.json_schema()).iter_errors(yaml.safe_load(text))) == []
    keyleasefile.parse_sync(text, "k.yml", {**ENV, "SYNC_TOKEN": "x"})


def test_a_description_is_whole() -> None:
    found = schema.json_schema()["$defs"]
    cut = [
        f"{part}.{key}: {value['description']}"
        for part, definition in found.items()
        for key, value in definition["properties"].items()
        if not value.get("description", "").endswith((".", ")", "`", "%", "w", "…", "}"))
    ]
    assert cut == []
    assert found["GitHubTo"]["properties"]["repository"]["description"] == "`acme/trainer`."


def test_it_is_json() -> None:
    assert json.loads(schema.json_text())["properties"]["version"] == {
        "const": 1,
        "description": "Version of this format.",
    }
