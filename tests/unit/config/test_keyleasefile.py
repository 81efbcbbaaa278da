"""What a keylease.yml means."""

from pathlib import Path

import pytest

from keylease import config
from tests.unit.config.support import HEAD, TWO, load, one

# What it means.


def test_the_smallest_file() -> None:
    plan = load("version: 1\n")
    assert (dict(plan.providers), plan.uses, plan.deliveries) == ({}, (), ())
    assert (plan.deadline, plan.revoke, plan.strict_revoke) == (120, True, False)


def test_providers_and_settings() -> None:
    plan = load(
        """\
version: 1
settings:
  deadline: 2m30s
  timeout: 5s
  retries: 1
  allow_names: [PYTHONPATH]
  identity_variables: [VAULT_ID_TOKEN]
  revoke: false
  strict_revoke: true
providers:
  vault:
    type: vault
    url: https://vault.example.com/
    role: ci
    timeout: 1m
  other: {type: vault, url: "http://127.0.0.1:8200", method: token, token_env: MY_TOKEN}
"""
    )
    assert (plan.deadline, plan.allow_names) == (150, frozenset({"PYTHONPATH"}))
    assert tuple(plan.identity_variables) == ("VAULT_ID_TOKEN",)
    assert (plan.revoke, plan.strict_revoke) == (False, True)
    vault, other = plan.providers["vault"], plan.providers["other"]
    assert (vault.type, vault.settings.url, vault.settings.role) == ("vault", "https://vault.example.com", "ci")
    assert (vault.settings.timeout, vault.settings.retries) == (60, 1)
    assert (other.settings.timeout, other.settings.method, other.settings.token_env) == (5, "token", "MY_TOKEN")
    assert str(vault.origin) == "keylease.yml:12: providers.vault"


def test_the_environment_fills_in_the_address() -> None:
    plan = config.load_text("version: 1\nproviders: {v: {type: vault}}\n", "k", {"VAULT_ADDR": "https://v.example.com"})
    assert plan.providers["v"].settings.url == "https://v.example.com"


def test_nothing_in_a_file_is_expanded() -> None:
    """A file that comes with a pull request must not reach into the job's variables."""
    text = "version: 1\nproviders: {v: {type: vault, url: https://v.example.com, role: '${SECRET}'}}\n"
    assert config.load_text(text, "k", {"SECRET": "x"}).providers["v"].settings.role == "${SECRET}"


def test_use() -> None:
    (use,) = load(HEAD + "  - use: vault\n").uses
    assert (use.provider, use.env, use.output, dict(use.names)) == ("vault", True, False, {})
    (use,) = load(HEAD + "  - {use: vault, env: false, output: true, rename: {VAULT_TOKEN: ci_token}}\n").uses
    assert (use.env, use.output, dict(use.names)) == (False, True, {"VAULT_TOKEN": "ci_token"})
    assert str(use.origin) == "keylease.yml:5: leases[0].use"


def test_one_field() -> None:
    deliver = one("{secret: 'vault://secret/ci#a.b', env: NAME}")
    assert (deliver.read.provider, deliver.read.scheme, deliver.read.path) == ("vault", "vault", "secret/ci")
    assert (deliver.read.options, deliver.read.parameters) == ((), None)
    assert (deliver.selector, deliver.name, deliver.env, deliver.output, deliver.file) == (
        *(("a", "b"), "NAME", True, False, None),
    )
    assert str(deliver.origin) == "keylease.yml:5: leases[0].env"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("output: name", ("name", False, True, "name", None)),
        ("env: NAME, output: name", ("NAME", True, True, "name", None)),
        ("env: NAME, output: true", ("NAME", True, True, None, None)),
        ("env: NAME, output: false", ("NAME", True, False, None, None)),
        ("file: certs/key.pem", ("certs/key.pem", False, False, None, "certs/key.pem")),
        ("env: KEY_FILE, file: certs/key.pem", ("KEY_FILE", True, False, None, "certs/key.pem")),
    ],
)
def test_where_a_value_goes(keys: str, expected: tuple[object, ...]) -> None:
    deliver = one(f"{{secret: 'vault://secret/ci#f', {keys}}}")
    assert (deliver.name, deliver.env, deliver.output, deliver.output_name, deliver.file) == expected


def test_several_fields_are_one_request() -> None:
    plan = load(
        HEAD + "  - {secret: 'vault://db/creds/r', env: {U: username, P: '\"pass.word\"'}, output: {u: username}}\n"
    )
    assert [(d.selector, d.name, d.env, d.output) for d in plan.deliveries] == [
        (("username",), "U", True, False),
        (("pass.word",), "P", True, False),
        (("username",), "u", False, True),
    ]
    assert len({d.read for d in plan.deliveries}) == 1


@pytest.mark.parametrize(
    ("lease", "selector", "prefix", "env", "output"),
    [
        ("{secret: 'vault://s/c#*'}", "*", "", True, False),
        ("{secret: 'vault://s/c#**', prefix: app_}", "**", "app_", True, False),
        ("{secret: 'vault://s/c#*', transform: keep}", "**", "", True, False),
        ("{secret: 'vault://s/c#*', transform: upper, env: false, output: true}", "*", "", False, True),
    ],
)
def test_all_fields(lease: str, selector: str, prefix: str, env: bool, output: bool) -> None:
    deliver = one(lease)
    assert (deliver.selector, deliver.name, deliver.env, deliver.output) == (selector, prefix, env, output)


def test_how_it_is_read() -> None:
    deliver = one(
        "{secret: 'vault://team/kv/ci#f', env: N, kv: 2, mount: team/kv, version: 3, wrap_ttl: 5m,"
        " decode: base64, required: false}"
    )
    assert deliver.read.options == (("kv", "2"), ("version", "3"), ("mount", "team/kv"), ("wrap_ttl", "5m"))
    assert (deliver.decode, deliver.required) == ("base64", False)
    deliver = one("{secret: 'vault://sys/wrapping/unwrap#f', env: N, unwrap_env: WRAPPED}")
    assert deliver.read.options == (("unwrap_env", "WRAPPED"),)


def test_parameters_are_json_and_can_be_compared() -> None:
    lease = "{secret: 'vault://ssh/sign/r#f', env: N, with: {cn: a, n: 1, list: [a, {b: [true]}], map: {x: y}}}"
    first, second = one(lease).read, one(lease).read
    assert dict(first.parameters or ()) == {"cn": "a", "n": 1, "list": ["a", {"b": [True]}], "map": {"x": "y"}}
    assert (first, hash(first)) == (second, hash(second))


def test_a_lease_names_its_provider() -> None:
    assert one("{secret: 'vault://s/c#f', env: N, provider: b}", TWO).read.provider == "b"


def test_a_setting_read_with_another_providers_lease() -> None:
    plan = load(
        """\
version: 1
providers:
  first: {type: vault, url: https://a.example.com, role: ci}
  second:
    type: vault
    url: https://b.example.com
    method: approle
    role_id: r
    secret_id: {secret: "vault://secret/approle#secret_id", decode: base64}
leases:
  - {secret: "vault://secret/x#f", env: F, provider: second}
"""
    )
    assert plan.providers["first"].needs == {}
    need = plan.providers["second"].needs["secret_id"]
    assert (need.read.provider, need.read.path, need.selector, need.decode) == (
        *("first", "secret/approle", ("secret_id",), "base64"),
    )
    assert (need.env, need.output, need.file) == (False, False, None)
    assert str(need.origin) == "keylease.yml:9: providers.second.secret_id"


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keylease.yml"
    path.write_text(HEAD + "  - {secret: 'vault://s/c#f', env: N}\n")
    assert str(config.load_file(path, {}).deliveries[0].origin) == f"{path}:5: leases[0].env"
