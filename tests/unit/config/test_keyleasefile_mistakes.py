"""Each mistake in a keylease.yml, with its exact words."""

from pathlib import Path

import pytest

from keylease import config
from keylease.errors import UsageError
from tests.leaks import Seeded
from tests.unit.config.support import A_LIST, A_MAPPING, HEAD, PLATFORM, TWO, load, one, refused

# Mistakes in the file as a whole.


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config.load_file(tmp_path / "no.yml", {})
    assert caught.value.summary == f"{tmp_path}/no.yml: there is no such file"
    assert "actions/checkout" in caught.value.change


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config.load_file(tmp_path, {})
    assert caught.value.summary == f"{tmp_path}: can't be read: Is a directory"


@pytest.mark.parametrize(
    ("text", "summary", "hint"),
    [
        ("- version: 1\n", "keylease.yml:1: must be a mapping (KEY: VALUE), not a list", ""),
        ("version\n", "keylease.yml:1: must be a mapping (KEY: VALUE), not text", ""),
        ("providers: {}\n", "keylease.yml:1: version: is missing", "start the file with `version: 1`"),
        ("version: 2\n", "keylease.yml:1: version: must be 1", "newer Keylease"),
        ("version: '1'\n", "keylease.yml:1: version: must be 1", "write `version: 1`"),
        ("version: true\n", "keylease.yml:1: version: must be 1", ""),
        ("version: 1\nlease: []\n", "keylease.yml:2: lease: unknown key", "did you mean 'leases'?"),
        ("version: 1\nzzz: []\n", "keylease.yml:2: zzz: unknown key", "version, settings, providers, leases"),
        ("version: 1\naudits: {}\n", "keylease.yml:2: audits: unknown key", "did you mean 'audit'?"),
        ("version: 1\nproviders: []\n", "keylease.yml:2: providers: must be a mapping (KEY: VALUE), not a list", ""),
        (
            "version: 1\nleases: {}\n",
            f"keylease.yml:2: leases: {A_LIST}, not a mapping",
            "",
        ),
        (
            "version: 1\nsettings: 1\n",
            f"keylease.yml:2: settings: {A_MAPPING}, not a whole number",
            "",
        ),
    ],
)
def test_the_document(text: str, summary: str, hint: str) -> None:
    error = refused(text)
    assert error.summary == summary
    assert hint in error.diagnostics()


@pytest.mark.parametrize(
    ("settings", "summary", "hint"),
    [
        ("deadline: soon", "deadline: must be a duration: seconds, or like 90s, 2m or 1h30m", ""),
        ("deadline: 0", "deadline: must be more than 0", ""),
        ("deadline: true", "deadline: must be a number, not true or false", "write a number, without quotes"),
        ("retries: 21", "retries: must be at most 20", ""),
        ("retries: 1.5", "retries: must be a whole number, not a decimal number", ""),
        ("retries: '3'", "retries: must be a whole number, not text", "write a whole number, without quotes or unit"),
        ("allow_names: PYTHONPATH", "allow_names: must be a list, not text", "write a list: [A, B], or"),
        ("allow_names: [A, 1]", "allow_names[1]: must be text, not a whole number", "put the value in quotes"),
        ("revoke: 'true'", "revoke: must be true or false, not text", "write true or false, without quotes"),
        ("revok: true", "revok: unknown key", "did you mean 'revoke'?"),
    ],
)
def test_settings(settings: str, summary: str, hint: str) -> None:
    error = refused(f"version: 1\nsettings:\n  {settings}\n")
    assert error.summary == f"keylease.yml:3: settings.{summary}"
    assert hint in error.diagnostics()


@pytest.mark.parametrize(
    ("lines", "summary", "hint"),
    [
        ("v: vault", "3: providers.v: must be a mapping (KEY: VALUE), not text", "write KEY: VALUE lines"),
        ("v: {url: https://x.example.com}", "3: providers.v.type: is missing", "vault"),
        ("v: {type: vualt}", "3: providers.v.type: there is no provider of this type", "did you mean 'vault'?"),
        ("v: {type: [vault]}", "3: providers.v.type: there is no provider of this type", ""),
        ("v:\n    type: vault\n    urll: x", "5: providers.v.urll: unknown key", "did you mean 'url'?"),
        (
            "a:\n    type: aws\n    chain:\n      externalid: x",
            "6: providers.a.chain.externalid: unknown key",
            "'external_id'?",
        ),
        (
            "a:\n    type: aws\n    profiles: {p: {durations: 1}}",
            "5: providers.a.profiles.p.durations: unknown key",
            "'duration'?",
        ),
        ("v:\n    type: vault\n    url: 1", "5: providers.v.url: must be text, not a whole number", "quotes"),
        (
            "v:\n    type: vault\n    method: [jwt]",
            "5: providers.v.method: must be text, not a list",
            "use one of: jwt, approle",
        ),
        ("v:\n    type: vault\n    url: [x]", "5: providers.v.url: must be text, not a list", ""),
        (
            "v:\n    type: vault\n    method: jwtt",
            "5: providers.v.method: is not one of the values it can have",
            "jwt, approle, kubernetes, token",
        ),
        (
            "v:\n    type: vault\n    tls_verify: 1",
            "5: providers.v.tls_verify: must be true or false, not a whole number",
            "",
        ),
        ("v: {type: vault}", "3: providers.v: Vault: `url` is missing", "VAULT_ADDR"),
        ("v v: {type: vault}", "3: providers.v v: can't be a provider's name", "begins with a letter"),
        (
            "v:\n    type: vault\n    token_env: $TOKEN",
            "5: providers.v.token_env: is not the name of a variable",
            "write its name only",
        ),
        (
            "v:\n    type: vault\n    token_env: ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            f"5: providers.v.token_env: ACTIONS_ID_TOKEN_REQUEST_TOKEN {PLATFORM}",
            "",
        ),
        ("v: {type: vault}\n  v: {type: vault}", "4: providers.v: is there twice (first in line 3)", "keep one"),
    ],
)
def test_providers(lines: str, summary: str, hint: str) -> None:
    error = refused(f"version: 1\nproviders:\n  {lines}\n")
    assert error.summary == f"keylease.yml:{summary}"
    assert hint in error.diagnostics()


@pytest.mark.parametrize("key", ["token", "secret_id"])
def test_a_secret_in_the_file(key: str, seeded: Seeded) -> None:
    value = seeded.new(key)
    error = refused(f"version: 1\nproviders:\n  v:\n    type: vault\n    {key}: {value}\n")
    assert error.summary == f"keylease.yml:5: providers.v.{key}: a secret is never written here"
    assert f"{key}_env: NAME" in error.change


@pytest.mark.parametrize("start", ["-----BEGIN PRIVATE KEY-----", "LS0tLS1CRUdJTiBQUklWQVRF"])
def test_a_private_key_in_the_file(start: str, seeded: Seeded) -> None:
    value = seeded.new("key")
    error = refused(f"version: 1\nproviders:\n  v:\n    type: vault\n    client_key: |\n      {start}\n      {value}\n")
    assert error.summary == "keylease.yml:5: providers.v.client_key: a secret is never written here"


# Mistakes in a lease.


@pytest.mark.parametrize(
    ("lease", "summary", "hint"),
    [
        ("use", ": must be a mapping (KEY: VALUE), not text", ""),
        ("{env: A}", ": has neither `use:` nor `secret:`", "use: PROVIDER"),
        ("{use: vault, secret: 'vault://a/b#c'}", ": has both `use:` and `secret:`", ""),
        ("{use: valt}", ".use: there is no provider 'valt'", "did you mean 'vault'?"),
        ("{use: vault, env: false}", ".use: exports nothing", "output: true"),
        ("{use: vault, env: A}", ".env: must be true or false, not text", ""),
        ("{use: vault, rename: {VAULT_TOKEN: 1}}", ".rename.VAULT_TOKEN: must be text, not a whole number", "quotes"),
        ("{use: vault, rename: {}}", ".rename: must not be empty", ""),
        ("{use: vault, file: x}", ".file: unknown key", ""),
        ("{secret: 1, env: A}", ".secret: must be text, not a whole number", ""),
        ("{secret: 'a/b#c', env: A}", ".secret: not a reference such as vault://secret/ci#password", "SCHEME://PATH"),
        ("{secret: 'valt://a/b#c', env: A}", ": nothing reads valt:// references", "did you mean vault://?"),
        ("{secret: 'vault://a/b#c', env: A, provider: x}", ".provider: there is no provider 'x'", "vault"),
        ("{secret: 'vault://a/b#c'}", ".secret: is delivered nowhere", "`env: NAME`"),
        ("{secret: 'vault://a/b#c', env: false}", ".secret: is delivered nowhere", ""),
        ("{secret: 'vault://a/b#c', env: true}", ".env: must be the variable's name", ""),
        ("{secret: 'vault://a/b#c', output: true}", ".output: must be the output's name where there is no `env:`", ""),
        ("{secret: 'vault://a/b#c', env: {A: c}}", ".secret: the fields are named in `env:` or `output:` already", ""),
        ("{secret: 'vault://a/b', env: {A: c}, output: x}", ".output: must name its fields too", "{NAME: field}"),
        ("{secret: 'vault://a/b', env: {A: c}, file: x}", ".file: holds one value, not several", ""),
        ("{secret: 'vault://a/b', env: {}}", ".env: must not be empty", ""),
        ("{secret: 'vault://a/b', env: {A: 'c..d'}}", ".env.A: the field is an empty step", "field, outer.inner"),
        ("{secret: 'vault://a/b', env: {A: {x: c}}}", ".env.A: must be text, not a mapping", ""),
        ("{secret: 'vault://a/b#c', env: [A]}", ".env: must be true or false or text or a mapping, not a list", ""),
        ("{secret: 'vault://a/b#c', env: A, prefix: X}", ".prefix: goes with all fields only", "#*"),
        ("{secret: 'vault://a/b#c', env: A, transform: keep}", ".transform: goes with all fields only", ""),
        ("{secret: 'vault://a/b#*', env: A}", ".env: can't be given with all fields", "prefix"),
        ("{secret: 'vault://a/b#*', file: x}", ".file: can't be given with all fields", ""),
        ("{secret: 'vault://a/b#*', env: false}", ".secret: is delivered nowhere", ""),
        (
            "{secret: 'vault://a/b#**', transform: upper}",
            ".transform: contradicts #**, which keeps names as they are",
            "",
        ),
        (
            "{secret: 'vault://a/b#*', transform: lower}",
            ".transform: is not one of the values it can have",
            "upper, keep",
        ),
        ("{secret: 'vault://a/b#c', env: A, decode: rot13}", ".decode: is not one of the values it can have", "base64"),
        ("{secret: 'vault://a/b#c', env: A, kv: 3}", ".kv: is not one of the values it can have", "1, 2"),
        ("{secret: 'vault://a/b#c', env: A, version: 0}", ".version: must be at least 1", ""),
        ("{secret: 'vault://a/b#c', env: A, with: x}", ".with: must be a mapping, not text", ""),
        ("{secret: 'vault://a/b#c', file: ../x}", ".file: is not the path of a file below the workspace", "without .."),
        ("{secret: 'vault://a/b#c', file: a/../../x}", ".file: is not the path of a file below the workspace", ""),
        ("{secret: 'vault://a/b#c', env: A, wrap_ttl: x}", ".env: Vault: vault://a/b: `wrap_ttl` is no duration", ""),
        ("{secret: 'vault://a#c', env: A}", ".env: Vault: vault://a: a mount alone is no secret", ""),
        (
            "{secret: 'vault://sys/wrapping/unwrap#c', env: A, unwrap_env: GITHUB_TOKEN}",
            f".unwrap_env: GITHUB_TOKEN {PLATFORM}",
            "",
        ),
    ],
)
def test_a_lease(lease: str, summary: str, hint: str) -> None:
    error = refused(f"{HEAD}  - {lease}\n")
    assert error.summary == f"keylease.yml:5: leases[0]{summary}"
    assert hint in error.diagnostics()


@pytest.mark.parametrize(
    ("env", "summary"),
    [
        ("MY NAME", "'MY NAME' can't be the name of an environment variable"),
        ("A=B", "'A=B' can't be the name of an environment variable"),
        ("1A", "'1A' can't be the name of an environment variable"),
        ('""', None),
        ("LD_PRELOAD", "LD_PRELOAD is protected and is not set"),
    ],
)
def test_names_are_checked_before_anything_is_asked(env: str, summary: str | None) -> None:
    error = refused(f"{HEAD}  - secret: vault://a/b#c\n    env: {env}\n")
    if summary is None:
        assert error.summary == "keylease.yml:5: leases[0].secret: is delivered nowhere"
    else:
        assert error.summary == f"keylease.yml:6: leases[0].env: {summary}"


def test_a_protected_name_can_be_allowed() -> None:
    text = HEAD.replace("providers:", "settings: {allow_names: [PYTHONPATH]}\nproviders:")
    assert one("{secret: 'vault://a/b#c', env: PYTHONPATH}", text).name == "PYTHONPATH"


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("env: A", "env: A", "variable A"),
        ("env: A, output: x", "env: B, output: X", "output X"),
        ("file: f", "file: f", "file 'f'"),
    ],
)
def test_two_leases_for_one_name(first: str, second: str, what: str) -> None:
    second_lines = second.replace(", ", "\n    ")
    leases = f"  - {{secret: 'vault://a/b#c', {first}}}\n  - secret: vault://a/b#d\n    {second_lines}\n"
    error = refused(HEAD + leases)
    key = second.partition(":")[0]
    assert error.summary == f"keylease.yml:7: leases[1].{key}: the {what} is asked for twice"
    assert error.cause == f"keylease.yml:5: leases[0].{key} asks for it too, and only one of the two would arrive"


def test_a_renamed_variable_counts_too() -> None:
    error = refused(HEAD + "  - {secret: 'vault://a/b#c', env: A}\n  - {use: vault, rename: {VAULT_TOKEN: A}}\n")
    assert error.summary == "keylease.yml:6: leases[1].use: the variable A is asked for twice"


# Providers and who needs whom.


def test_no_provider_to_read_with() -> None:
    error = refused("version: 1\nleases:\n  - {secret: 'vault://a/b#c', env: A}\n")
    assert error.summary == "keylease.yml:3: leases[0]: there is no provider of type vault to read vault:// with"
    assert error.change == "add one under `providers:`, with `type: vault`"


def test_several_providers_could_read_it() -> None:
    error = refused(TWO + "  - {secret: 'vault://a/b#c', env: A}\n")
    assert error.summary == "keylease.yml:6: leases[0]: several providers could read this: a, b"
    assert error.change == "say which one: `provider: a`"


def provider(name: str, needs: str = "", other: str = "") -> str:
    needs = f"{{secret: 'vault://s/x#f', provider: {other}}}" if other else needs
    need = f", secret_id: {needs}" if needs else ""
    return f"  {name}: {{type: vault, url: https://x.example.com, method: approle, role_id: r{need}}}\n"


@pytest.mark.parametrize(
    ("providers", "summary"),
    [
        (
            provider("a", other="b") + provider("b", other="a"),
            "4: providers.b.secret_id: the providers need each other in a circle: a → b → a",
        ),
        (
            provider("z", other="a") + provider("a", other="b") + provider("b", other="c") + provider("c", other="a"),
            "6: providers.c.secret_id: the providers need each other in a circle: a → b → c → a",
        ),
        (
            provider("a", other="a"),
            "3: providers.a.secret_id: a provider can't read its own credential",
        ),
        (
            provider("a", other="c") + provider("b"),
            "3: providers.a.secret_id.provider: there is no provider 'c'",
        ),
        (
            provider("a", "{secret: 'vault://s/x#f'}"),
            "3: providers.a.secret_id: there is no other provider of type vault to read vault:// with",
        ),
        (
            provider("a", "{secret: 'vault://s/x#f'}") + provider("b") + provider("c"),
            "3: providers.a.secret_id: several providers could read this: b, c",
        ),
        (
            provider("a", "{secret: 'vault://s/x#*'}") + provider("b"),
            "3: providers.a.secret_id: takes one value, not all fields",
        ),
        (provider("a", "{provider: b}") + provider("b"), "3: providers.a.secret_id.secret: is missing"),
        (
            provider("a", "{secret: 'vault://s/x#f', env: A}") + provider("b"),
            "3: providers.a.secret_id.env: unknown key",
        ),
        (
            provider("a", "{secret: 'vault://s#f'}") + provider("b"),
            "3: providers.a.secret_id: Vault: vault://s: a mount alone is no secret",
        ),
    ],
)
def test_settings_from_other_providers(providers: str, summary: str) -> None:
    assert refused(f"version: 1\nproviders:\n{providers}").summary == f"keylease.yml:{summary}"


def test_a_chain_is_no_circle() -> None:
    text = provider("a", other="b") + provider("b", "{secret: 'vault://s/x#f', provider: c}")
    plan = load(f"version: 1\nproviders:\n{text}{provider('c')}")
    assert [p.needs["secret_id"].read.provider if p.needs else None for p in plan.providers.values()] == [
        "b",
        "c",
        None,
    ]
