"""Which parts of a value are looked for, which are not, and which are told as a gap."""

import io
import json

import pytest

from keylease.pipelines.scan import Search

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\nqwertzuiopasdfgh\n-----END PRIVATE KEY-----\n"


def found(value: object, text: str) -> bool:
    data = value if isinstance(value, str) else json.dumps(value)
    return bool(Search({data.encode(): "S"}).through(io.BytesIO(text.encode())))


@pytest.mark.parametrize(
    "name", ["password", "dbPassword", "API_KEY", "key", "client_secret", "token", "dsn", "signingSalt"]
)
def test_what_a_name_calls_secret_is_looked_for(name: str) -> None:
    assert found({name: "correcthorse"}, "x correcthorse y")
    assert found({"a": {"b": [{name: ["correcthorse"]}]}}, "x correcthorse y")
    assert found({"inner": json.dumps({name: "correcthorse"})}, "x correcthorse y")
    assert found(f"USER=x\nexport {name}=correcthorse\n", f"export {name}=correcthorse")


@pytest.mark.parametrize(
    "document",
    [
        {"region": "eu-central-1", "password": "Zq3Lw8Xv9k"},
        {"auth_uri": "https://accounts.google.com/o/oauth2/auth", "k": "Zq3Lw8Xv9k"},
        {"api_host": "database.example.com:5432", "k": "Zq3Lw8Xv9k"},
        {"client_email": "ci@project.iam.gserviceaccount.com", "k": "Zq3Lw8Xv9k"},
        {"key_path": "/etc/ssl/private.pem", "k": "Zq3Lw8Xv9k"},
    ],
)
def test_what_stands_in_files_by_right_is_not(document: dict[str, str]) -> None:
    by_right = next(iter(document.values()))
    search = Search({json.dumps(document).encode(): "S"})
    assert search.through(io.BytesIO(f"x = {by_right}".encode())) == []
    assert search.unchecked == []
    assert search.left_out == [f"{next(iter(document))} of S"]


def test_an_address_with_a_password_is_secret() -> None:
    url = "postgres://app:correcthorse@db.example.com/x"
    assert found({"url": url}, f"DATABASE={url}")


def test_a_user_called_as_the_password_is() -> None:
    assert found({"user": "correcthorse", "password": "correcthorse"}, "x correcthorse")
    assert found({"password": "correcthorse", "zone": "correcthorse"}, "x correcthorse")


def test_a_document_of_which_nothing_can_be_looked_for_is_a_gap() -> None:
    assert "S" in Search({b'{"zone": "eu-central-1"}': "S"}).unchecked
    assert "S" in Search({b"these are words\nand these too\n": "S"}).unchecked


def test_frames_and_ends_of_keys_are_no_gap() -> None:
    search = Search({PEM.encode(): "S"})
    assert (search.unchecked, search.left_out) == ([], [])
    assert search.through(io.BytesIO(b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"))
    assert not search.through(io.BytesIO(b"-----BEGIN PRIVATE KEY-----"))
    assert Search({json.dumps({"private_key": PEM}).encode(): "S"}).unchecked == []


@pytest.mark.parametrize("text", ["[" * 5000, '{"a": ' * 5000, '"' * 100, "{", '{"a": 1e999}', "\ufeff{}"])
def test_odd_documents(text: str) -> None:
    Search({text.encode(): "S"})
