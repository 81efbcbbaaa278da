"""Settings of a Vault provider: fallbacks, checks, and nothing secret in their repr."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keylease.context import Context
from keylease.errors import UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.vendors.pem import PemFiles, is_pem_source, pem_text
from keylease.vendors.vault_client import Connection
from keylease.vendors.vault_settings import VaultSettings, complete, is_cleartext, origin, seconds

URL = "https://vault.example.com"
PEM = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nTUlJRXZRSUJBREFOQmdrcWhr\n-----END PRIVATE KEY-----"


def done(env: dict[str, str] | None = None, **settings: Any) -> VaultSettings:
    return complete(VaultSettings(**settings), env or {})


def test_the_address_comes_from_the_environment_last() -> None:
    assert done({"VAULT_ADDR": "https://v"}).url == "https://v"
    assert done({"VAULT_ADDR": "https://v", "BAO_ADDR": "https://b/"}).url == "https://b"
    assert done({"VAULT_ADDR": "https://v"}, url=URL).url == URL


def test_namespace_and_mount() -> None:
    assert done({"VAULT_NAMESPACE": "/team/ml/"}, url=URL).namespace == "team/ml"
    assert done({"BAO_NAMESPACE": "b"}, url=URL, namespace="own").namespace == "own"
    assert done(url=URL).namespace is None
    assert done(url=URL).mount == "jwt"
    assert done(url=URL, method="approle").mount == "approle"
    assert done(url=URL, mount="/team/github/").mount == "team/github"


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://Vault.Example.com:443/", "https://vault.example.com"),
        ("https://vault.example.com:8200/prefix", "https://vault.example.com:8200"),
        ("http://[::1]:8200", "http://[::1]:8200"),
    ],
)
def test_the_audience_is_the_origin_of_the_address(url: str, audience: str) -> None:
    assert done(url=url).audience == audience
    assert origin(url) == audience
    assert done(url=url, audience="mine").audience == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "vault.example.com",
        "ftp://vault.example.com",
        "https://",
        "https://user:pw@vault.example.com",
        "https://vault.example.com/?x=1",
        "https://vault.example.com/#x",
        "https://vault.example.com/v1",
        "https://vault.example.com:99999",
        "https://vault.example.com:0",
        "https://vault .example.com",
        "https://[vault",
        "unix:///run/vault.sock",
    ],
)
def test_addresses_that_can_not_be_meant(url: str) -> None:
    with pytest.raises(UsageError, match="`url`") as caught:
        done(url=url)
    assert "user:pw" not in caught.value.diagnostics(debug=True)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("mount", {"mount": "a/../b"}),
        ("mount", {"mount": "a//b"}),
        ("role", {"role": "a\nb"}),
        ("namespace", {"namespace": "a\r\nX-Vault-Token: x"}),
        ("audience", {"audience": "a\0"}),
        ("role", {"method": "kubernetes"}),
        ("timeout", {"timeout": "soon"}),
        ("timeout", {"timeout": 0}),
        ("retries", {"retries": -1}),
        ("retries", {"retries": 1000}),
        ("wrap_ttl", {"wrap_ttl": "later"}),
        ("ca_certificate", {"ca_certificate": "not/there.pem"}),
        ("client_certificate", {"client_key": PEM}),
        ("secret_id_file", {"method": "approle", "role_id": "r", "secret_id_env": "A", "secret_id_file": "f"}),
    ],
)
def test_wrong_settings_are_named(key: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{key}`"):
        done(url=URL, **settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(5, 5.0), ("5", 5.0), ("500ms", 0.5), ("1m30s", 90.0), ("1h", 3600.0), ("2.5s", 2.5), ("", None), ("x", None)],
)
def test_durations(text: float | str, expected: float | None) -> None:
    assert seconds(text) == expected


def test_only_plain_http_to_another_machine_is_clear_text() -> None:
    assert is_cleartext("http://vault.example.com")
    assert is_cleartext("http://127.0.0.1.example.com")
    assert is_cleartext("http://localhost.example.com")
    assert not is_cleartext("http://127.0.0.1:8200")
    assert not is_cleartext("http://[::1]:8200")
    assert not is_cleartext("https://vault.example.com")


def test_a_token_can_not_be_written_in_a_file() -> None:
    for name in ("token", "secret_id"):
        with pytest.raises(msgspec.ValidationError, match="Secret"):
            msgspec.convert({name: "hvs.x"}, VaultSettings)
    schema = msgspec.json.schema(VaultSettings)
    assert '"not"' in str(schema).replace("'", '"')


def test_the_repr_holds_no_key() -> None:
    assert "MIIEv" not in repr(VaultSettings(url=URL, client_key=KEY))
    assert "TUlJR" not in repr(VaultSettings(url=URL, client_key=KEY))


def test_warnings_about_what_is_not_safe(tmp_path: Path) -> None:
    def warnings(env: dict[str, str] | None = None, **settings: Any) -> str:
        context = Context(env or {}, Masker(), Deadline(5))
        return "\n".join(Connection.of(done(env, **settings), context).warnings(context))

    assert "TLS verification" in warnings(url=URL, tls_verify=False)
    assert "not honoured" in warnings({"VAULT_SKIP_VERIFY": "true"}, url=URL)
    assert "clear text" in warnings(url="http://vault.example.com")
    assert warnings({"VAULT_SKIP_VERIFY": "0"}, url=URL) == ""


# Certificates and keys.


def test_pem_in_three_forms(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(PEM)
    encoded = base64.encodebytes(PEM.encode()).decode()
    assert pem_text(PEM) == PEM
    assert pem_text(encoded) == PEM
    assert pem_text(str(path)) is None
    assert is_pem_source(str(path))
    assert not is_pem_source(str(tmp_path))
    assert not is_pem_source("bm8gcGVt")
    assert not is_pem_source("x" * 10_000)


def test_texts_become_private_files_that_go_away(tmp_path: Path) -> None:
    files = PemFiles()
    own = tmp_path / "own.pem"
    assert files.path("ca", str(own)) == str(own)
    assert files.path("ca", None) is None
    written = Path(files.path("ca", PEM) or "")
    assert written.read_text() == PEM
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.parent.stat().st_mode & 0o777 == 0o700
    del files
    assert not written.parent.exists()


def test_certificates_fall_back_to_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(PEM)
    assert done({"VAULT_CACERT": str(path)}, url=URL).ca_certificate == str(path)
    with pytest.raises(UsageError, match="VAULT_CACERT"):
        done({"VAULT_CACERT": "/nowhere/ca.pem"}, url=URL)


def test_a_key_as_text_must_come_from_a_variable() -> None:
    settings = done(url=URL, client_certificate=PEM, client_key=KEY)
    with pytest.raises(UsageError, match="client_key") as caught:
        Connection.of(settings, Context({}, Masker(), Deadline(5)))
    assert "TUlJR" not in caught.value.diagnostics(debug=True)


def test_a_kept_connection_names_the_variable_and_not_the_key() -> None:
    env = {"INPUT_CLIENT-KEY": KEY + "\n"}
    context = Context(env, Masker(), Deadline(5))
    connection = Connection.of(done(env, url=URL, client_certificate=PEM, client_key=KEY), context)
    data = connection.to_data()
    assert data["client_key_variable"] == "INPUT_CLIENT-KEY"
    assert "TUlJR" not in str(data)
    assert "TUlJR" not in context.masker.scrub(KEY)
    assert Connection.from_data({**data, "from_the_future": 1}) == connection


def test_a_kept_connection_survives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text(PEM)
    monkeypatch.chdir(tmp_path)
    connection = Connection.of(done(url=URL, ca_certificate="ca.pem"), Context({}, Masker(), Deadline(5)))
    assert connection.to_data()["ca_certificate"] == str(tmp_path / "ca.pem")
