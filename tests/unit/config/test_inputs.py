"""The action's inputs in the shapes that runners hand them over, and the command line's flags."""

import subprocess
import sys
from pathlib import Path

import pytest

from keylease.config.inputs import ActionOptions, plan_from_flags, plan_from_inputs
from keylease.errors import UsageError
from keylease.masking import Masker
from keylease.model import Plan
from tests.leaks import Seeded

URL = {"INPUT_URL": "https://vault.example.com"}
SECRETS = {"INPUT_SECRETS": "secret/data/ci key | A ;"}
BASE = URL | SECRETS
NO_DURATION = "must be a duration: seconds, or like 90s, 2m or 1h30m"


def plan(**inputs: str) -> Plan:
    return plan_from_inputs(BASE | inputs)[0]


def refused(env: dict[str, str]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        plan_from_inputs(env)
    return caught.value


def test_the_common_case() -> None:
    found, options = plan_from_inputs({**BASE, "INPUT_ROLE": " ci \n", "PATH": "/bin"})
    provider = found.providers["vault"]
    settings = provider.settings
    assert (provider.type, settings.url, settings.role, settings.method) == (
        *("vault", "https://vault.example.com", "ci", "jwt"),
    )
    (deliver,) = found.deliveries
    assert (deliver.name, deliver.env, deliver.output, deliver.required) == ("A", True, True, True)
    assert str(deliver.origin) == "secrets:1"
    assert (found.deadline, found.revoke, found.strict_revoke, found.uses) == (120, True, False, ())
    assert options == ActionOptions(summary=True, host_paths="")


@pytest.mark.parametrize("variable", ["INPUT_CA-CERTIFICATE", "INPUT_CA_CERTIFICATE", "INPUT_CACERTIFICATE"])
def test_the_shapes_of_a_name(variable: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    found, _ = plan_from_inputs(BASE | {variable: str(tmp_path / "ca.pem")})
    assert found.providers["vault"].settings.ca_certificate == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("inputs", "setting", "value"),
    [
        ({"INPUT_PATH": "my-jwt"}, "mount", "my-jwt"),
        ({"INPUT_JWTGITHUBAUDIENCE": "aud"}, "audience", "aud"),
        ({"INPUT_NAMESPACE": "ns1"}, "namespace", "ns1"),
        ({"INPUT_TIMEOUT": "5"}, "timeout", 5),
        ({"INPUT_TIMEOUT": "500ms"}, "timeout", 0.5),
        ({"INPUT_RETRIES": "0"}, "retries", 0),
        ({"INPUT_TLS-VERIFY": "false"}, "tls_verify", False),
        ({"INPUT_TLSSKIPVERIFY": "true"}, "tls_verify", False),
        ({"INPUT_TLSSKIPVERIFY": "false"}, "tls_verify", True),
        ({"INPUT_TLSSKIPVERIFY": "true", "INPUT_TLS_VERIFY": "false"}, "tls_verify", False),
        ({"INPUT_METHOD": "JWT"}, "method", "jwt"),
        ({"INPUT_METHOD": "approle", "INPUT_ROLEID": "r"}, "role_id", "r"),
        ({"INPUT_ROLEID": "r"}, "method", "approle"),
        ({"INPUT_TOKEN": "t"}, "method", "token"),
        (
            {"INPUT_METHOD": "kubernetes", "INPUT_ROLE": "r", "INPUT_KUBERNETESTOKENPATH": "/t"},
            "kubernetes_token_file",
            "/t",
        ),
    ],
)
def test_settings(inputs: dict[str, str], setting: str, value: object) -> None:
    found, _ = plan_from_inputs(BASE | inputs)
    assert getattr(found.providers["vault"].settings, setting) == value


def test_what_concerns_the_run() -> None:
    found, options = plan_from_inputs(
        {
            **URL,
            "INPUT_SECRETS": "a/b c | PYTHONPATH",
            "INPUT_DEADLINE": "2m",
            "INPUT_REVOKE": "False",
            "INPUT_STRICT_REVOKE": "TRUE",
            "INPUT_ALLOW-NAMES": "PYTHONPATH, CC\nCXX",
            "INPUT_SUMMARY": "false",
            "INPUT_HOST-PATHS": "workspace=/w;temp=/t",
        }
    )
    assert (found.deadline, found.revoke, found.strict_revoke) == (120, False, True)
    assert found.allow_names == {"PYTHONPATH", "CC", "CXX"}
    assert options == ActionOptions(summary=False, host_paths="workspace=/w;temp=/t")


def test_what_concerns_the_values() -> None:
    found = plan(INPUT_EXPORTENV="false", INPUT_IGNORENOTFOUND="true", INPUT_SECRETENCODINGTYPE="base64")
    (deliver,) = found.deliveries
    assert (deliver.env, deliver.output, deliver.required, deliver.decode) == (False, True, False, "base64")
    assert plan(INPUT_SECRETENCODINGTYPE="utf8").deliveries[0].decode == "none"


def test_the_token_itself() -> None:
    found, _ = plan_from_inputs(URL | {"INPUT_EXPORT-TOKEN": "true", "INPUT_OUTPUTTOKEN": "true"})
    assert [(use.provider, dict(use.names), use.env, use.output) for use in found.uses] == [
        ("vault", {}, True, False),
        ("vault", {"VAULT_TOKEN": "vault_token"}, False, True),
    ]


def test_secret_inputs_are_masked_at_once(seeded: Seeded) -> None:
    token, secret_id = seeded.new("token"), seeded.new("secret id")
    told: list[str] = []
    masker = Masker(told.append)
    found, _ = plan_from_inputs(BASE | {"INPUT_TOKEN": token}, masker.seal)
    assert found.providers["vault"].settings.token.reveal() == token
    found, _ = plan_from_inputs(BASE | {"INPUT_ROLEID": "r", "INPUT_SECRETID": secret_id}, masker.seal)
    assert found.providers["vault"].settings.secret_id.reveal() == secret_id
    assert told == [token, secret_id]


def test_an_empty_input_was_not_given() -> None:
    found, _ = plan_from_inputs({**BASE, "INPUT_TOKEN": "", "INPUT_REVOKE": " ", "INPUT_PKI": "", "INPUT_CONFIG": ""})
    assert (found.providers["vault"].settings.method, found.revoke) == ("jwt", True)


def test_the_same_said_twice_is_fine() -> None:
    found = plan(INPUT_MOUNT="m", INPUT_PATH="m", INPUT_EXPORT_ENV="false", INPUT_EXPORTENV="false")
    assert found.providers["vault"].settings.mount == "m"


@pytest.mark.parametrize("name", ["INPUT_WHATEVER", "INPUT_", "INPUTS"])
def test_other_inputs_are_not_ours(name: str) -> None:
    assert plan_from_inputs({**BASE, name: "x"})[0].deliveries


@pytest.mark.parametrize(
    ("inputs", "summary", "hint"),
    [
        ({"INPUT_MOUNT": "a", "INPUT_PATH": "b"}, "mount: says something else than `path`, which means the same", ""),
        (
            {"INPUT_EXPORT-ENV": "true", "INPUT_EXPORT_ENV": "false"},
            "export-env: says something else than `INPUT_EXPORT_ENV`, which means the same",
            "",
        ),
        ({"INPUT_TLS-VERIFY": "true", "INPUT_TLSSKIPVERIFY": "true"}, "tls-verify: contradicts `tlsSkipVerify`", ""),
        ({"INPUT_REVOKE": "no"}, "revoke: must be true or false", ""),
        ({"INPUT_REVOKE": "1"}, "revoke: must be true or false", ""),
        ({"INPUT_REVOKE": "tRUE"}, "revoke: must be true or false", ""),
        ({"INPUT_EXPORTENV": "yes"}, "exportEnv: must be true or false", ""),
        (
            {"INPUT_DEADLINE": "soon"},
            f"deadline: {NO_DURATION}",
            "",
        ),
        ({"INPUT_DEADLINE": "0"}, "deadline: must be more than 0", ""),
        ({"INPUT_TIMEOUT": "-1"}, f"timeout: {NO_DURATION}", ""),
        ({"INPUT_RETRIES": "many"}, "retries: must be a whole number from 0 to 20", ""),
        ({"INPUT_RETRIES": "99"}, "Vault: `retries` is not between 0 and 20", ""),
        ({"INPUT_METHOD": "jtw"}, "method: is not one of the values it can have", "did you mean 'jwt'?"),
        ({"INPUT_METHOD": "ldap"}, "method: ldap is a method of vault-action that Keylease does not have", "jwt"),
        ({"INPUT_SECRETENCODINGTYPE": "rot13"}, "secretEncodingType: must be one of: utf8, base64, hex", ""),
        ({"INPUT_PKI": "pki/issue/r {}"}, "pki: is an input of vault-action that Keylease does not have", "with:"),
        ({"INPUT_GITHUBTOKEN": "x"}, "githubToken: is an input of vault-action that Keylease does not have", "jwt"),
        ({"INPUT_EXTRAHEADERS": "a: b"}, "extraHeaders: is an input of vault-action that Keylease does not have", ""),
        ({"INPUT_JWTPRIVATEKEY": "x"}, "jwtPrivateKey: is an input of vault-action that Keylease does not have", ""),
        ({"INPUT_SECRETS": ""}, "secrets: is missing: there is nothing to do", "npmToken"),
        ({"INPUT_SECRETS": "a"}, "secrets:1: a path and a field are wanted, there is one word", ""),
        ({"INPUT_SECRETS": "a/b c | PATH"}, "secrets:1: PATH is protected and is not set", "allow-names: PATH"),
        (
            {"INPUT_SECRETS": "a/b c;\na/b d | C"},
            "secrets:2: the variable C is asked for twice",
            "secrets:1 asks",
        ),
        ({"INPUT_SECRETS": "a c"}, "secrets:1: Vault: a: a mount alone is no secret", ""),
        ({"INPUT_URL": ""}, "Vault: `url` is missing", "VAULT_ADDR"),
        ({"INPUT_URL": "vault.example.com"}, "Vault: `url` is not an http(s) address", ""),
    ],
)
def test_mistakes(inputs: dict[str, str], summary: str, hint: str) -> None:
    error = refused(BASE | inputs)
    assert error.summary == summary
    assert hint in error.diagnostics()


# Together with a keylease.yml.


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "keylease.yml"
    path.write_text(
        """\
version: 1
settings: {deadline: 30s, revoke: true}
providers: {v: {type: vault, url: https://vault.example.com}}
leases:
  - {secret: "vault://secret/ci#key", env: A}
"""
    )
    return str(path)


def test_a_file(file: str) -> None:
    found, options = plan_from_inputs(
        {"INPUT_CONFIG": file, "INPUT_SUMMARY": "false", "INPUT_STRICT-REVOKE": "true", "INPUT_DEADLINE": "30"}
    )
    assert (list(found.providers), found.deadline, found.strict_revoke, options.summary) == (["v"], 30, True, False)


def test_a_file_is_relative_to_the_working_directory(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(file).parent)
    assert plan_from_inputs({"INPUT_CONFIG": "keylease.yml"})[0].deliveries


def test_the_text_of_a_file_can_stand_in_the_workflow(file: str) -> None:
    found, _ = plan_from_inputs({"INPUT_CONFIG": Path(file).read_text()})
    assert found.deliveries
    assert refused({"INPUT_CONFIG": "version: 1\nprovider: {}"}).summary == "config:2: provider: unknown key"


def test_names_may_be_allowed_beside_a_file(file: str) -> None:
    path = Path(file)
    path.write_text(path.read_text().replace("env: A", "env: PYTHONPATH"))
    assert "protected" in refused({"INPUT_CONFIG": file}).summary
    found, _ = plan_from_inputs({"INPUT_CONFIG": file, "INPUT_ALLOW-NAMES": "PYTHONPATH"})
    assert found.allow_names == {"PYTHONPATH"}


@pytest.mark.parametrize(
    ("inputs", "summary"),
    [
        (SECRETS, "config: can't go together with `secrets`"),
        (URL | {"INPUT_PATH": "m"}, "config: can't go together with `url`, `path`"),
        ({"INPUT_EXPORT-ENV": "true"}, "config: can't go together with `export-env`"),
        ({"INPUT_TLSSKIPVERIFY": "true"}, "config: can't go together with `tlsSkipVerify`"),
    ],
)
def test_a_file_or_inputs(file: str, inputs: dict[str, str], summary: str) -> None:
    assert refused({"INPUT_CONFIG": file, **inputs}).summary == summary


@pytest.mark.parametrize(("name", "value"), [("deadline", "31"), ("revoke", "false")])
def test_a_file_and_an_input_that_disagree(file: str, name: str, value: str) -> None:
    error = refused({"INPUT_CONFIG": file, f"INPUT_{name.upper()}": value})
    assert error.summary == f"{name}: says something else than settings.{name} in {file}"


# Flags.


def test_flags() -> None:
    found = plan_from_flags(
        env={"VAULT_NAMESPACE": "ns"},
        url="https://vault.example.com",
        role="ci",
        method="jwt",
        mount="gh",
        audience="aud",
        namespace="",
        secrets=["secret/data/ci a", "secret/data/ci b | B ; secret/data/ci c"],
        deadline="1m",
    )
    settings = found.providers["vault"].settings
    assert (settings.role, settings.mount, settings.audience, settings.namespace) == ("ci", "gh", "aud", "ns")
    assert [deliver.name for deliver in found.deliveries] == ["A", "B", "C"]
    assert found.deadline == 60


def test_flags_without_secrets_describe_a_provider() -> None:
    found = plan_from_flags(env={"BAO_ADDR": "https://bao.example.com"})
    assert (found.providers["vault"].settings.url, found.deliveries) == ("https://bao.example.com", ())


@pytest.mark.parametrize(
    ("flags", "summary"),
    [
        ({"secrets": ["a"]}, "--secret:1: a path and a field are wanted, there is one word"),
        ({"secrets": ["a/b c", "d"]}, "--secret (no. 2):1: a path and a field are wanted, there is one word"),
        ({"secrets": ["a/b c", "d/e c"]}, "--secret (no. 2):1: the variable C is asked for twice"),
        ({"deadline": "x"}, f"--deadline: {NO_DURATION}"),
        ({"method": "x"}, "method: is not one of the values it can have"),
        ({"url": "x"}, "Vault: `url` is not an http(s) address"),
    ],
)
def test_flags_with_mistakes(flags: dict[str, object], summary: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_from_flags(**({"env": {}, "url": "https://v.example.com"} | flags))  # type: ignore[arg-type]
    assert caught.value.summary == summary


def test_inputs_alone_load_no_yaml() -> None:
    """Speed: the action without a file pays for no YAML parser and no check of signatures."""
    code = (
        "import sys; from keylease.config.inputs import plan_from_inputs;"
        f"plan_from_inputs({BASE!r});"
        "print(sorted({'yaml', 'jwt', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
