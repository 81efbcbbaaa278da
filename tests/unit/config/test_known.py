"""Values to hide that were not leased: what is taken from variables, files and state, and what is refused."""

import json
import os
from pathlib import Path

import pytest

from keylease.config.known import seal_file, seal_state, seal_variables
from keylease.errors import UsageError
from keylease.masking import Masker
from keylease.model import Revocation
from keylease.outputs.state import StateFile
from tests.leaks import Seeded


@pytest.fixture
def warnings() -> list[str]:
    return []


def sealed_from(path: Path, data: bytes | str, warnings: list[str], mode: int = 0o600) -> Masker:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    masker = Masker()
    seal_file(str(path), masker.seal, warnings.append)
    return masker


def test_variables() -> None:
    masker = Masker()
    seal_variables(["A", "B", "A"], {"A": "first-value", "B": "second-value", "C": "third-value"}, masker.seal, "--env")
    assert masker.scrub("first-value second-value third-value") == "*** *** third-value"


@pytest.mark.parametrize("value", ["", " \n"])
def test_a_variable_that_would_hide_nothing(value: str) -> None:
    with pytest.raises(UsageError, match=r"--mask-env: A is empty"):
        seal_variables(["A"], {"A": value}, Masker().seal, "--mask-env")


def test_a_value_in_the_place_of_its_name_is_not_repeated(seeded: Seeded) -> None:
    value = seeded.new("password")
    with pytest.raises(UsageError, match=r"--env: no variable has the name given \(no. 2\)"):
        seal_variables(["A", value], {"A": "first-value"}, Masker().seal, "--env")


def test_the_path_of_a_file_is_not_the_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the key itself")
    with pytest.raises(UsageError, match=r"KEY holds the path of a file") as caught:
        seal_variables(["KEY"], {"KEY": str(tmp_path / "key")}, Masker().seal, "--env")
    assert '--secrets-file "$KEY"' in caught.value.change


def test_a_variable_that_is_no_utf_8() -> None:
    masker = Masker()
    seal_variables(["A"], {"A": os.fsdecode(b"caf\xe9-password")}, masker.seal, "--env")
    assert b"caf\xe9-password" in masker.patterns()


def test_lines(tmp_path: Path, warnings: list[str]) -> None:
    masker = sealed_from(
        tmp_path / "s", b"\xef\xbb\xbffirst-value\r\n\n# second\n'third value'\nbin\xff\xfeary", warnings
    )
    assert masker.scrub("first-value # second 'third value' third value") == "*** *** *** third value"
    assert b"bin\xff\xfeary" in masker.patterns()
    assert warnings == []


def test_json(tmp_path: Path, warnings: list[str]) -> None:
    values = ["-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----\n", 'quo"ted-value']
    for text in (json.dumps(values), json.dumps({"A": values[0], "B": values[1]}), " \n" + json.dumps(values)):
        masker = sealed_from(tmp_path / "s", text, warnings)
        assert masker.scrub(f"abcdefgh {values[1]}") == "*** ***"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "there is no value in it"),
        ("\n \n", "there is no value in it"),
        ("[]", "there is no value in it"),
        ("{}", "there is no value in it"),
        ("[hidden-value\n", "it begins like JSON but is none"),
        ('{"A": {"B": "hidden-value"}}', '"A" is not a string'),
        ('["hidden-value", 123456]', "item 2 is not a string"),
        ('["hidden-value", " "]', "item 2 is empty"),
        ("[" * 100_000, "it begins like JSON but is none"),
        ("A=hidden-value\nexport B_2='hidden-value'\n", "every line is NAME=value"),
        ("# of the database\n  A=hidden-value\n", "every line is NAME=value"),
        ("-----BEGIN KEY-----\nhidden-value\n", "a PEM text has several lines"),
        ("  -----BEGIN KEY-----\n  hidden-value\n", "a PEM text has several lines"),
        ("hidden-value\nother-value\n".encode("utf-16"), "it is UTF-16 or binary"),
        ("hidden-value\n".encode("utf-16-be"), "it is UTF-16 or binary"),
        ('{"A": "hidden-value\\ud800"}', '"A" has half a character'),
    ],
)
def test_files_that_would_hide_less_than_they_say(
    tmp_path: Path, warnings: list[str], data: str | bytes, what: str, seeded: Seeded
) -> None:
    seeded.allow("file")
    seeded.add("hidden-value")
    with pytest.raises(UsageError) as caught:
        sealed_from(tmp_path / "s", data, warnings)
    assert what in caught.value.summary
    assert "hidden-value" not in caught.value.diagnostics(debug=True)


@pytest.mark.parametrize("line", ["ABCDEFGH==", "user=password-1", "Endpoint=sb://x;Key=abc"])
def test_a_value_with_an_equals_sign_is_a_value(tmp_path: Path, warnings: list[str], line: str) -> None:
    assert sealed_from(tmp_path / "s", line, warnings).scrub(f"<{line}>") == "<***>"


@pytest.mark.parametrize(
    "line",
    ["password=S3cret-value", "db.password: S3cret-value", "  password = 'S3cret-value'", 'pass: "S3cret-value" '],
)
def test_what_may_be_a_name_with_a_value_is_hidden_without_the_name_too(
    tmp_path: Path, warnings: list[str], line: str
) -> None:
    masker = sealed_from(tmp_path / "s", f"other\n{line}\n", warnings)
    assert masker.scrub(f"<{line.strip()}> S3cret-value password") == "<***> *** password"
    assert masker.unmaskable == []


def test_a_name_that_is_there_twice_has_two_values(tmp_path: Path, warnings: list[str]) -> None:
    masker = sealed_from(tmp_path / "s", '{"A": "first-value", "A": "second-value"}', warnings)
    assert masker.scrub("first-value second-value") == "*** ***"


def test_a_file_that_others_may_read_is_warned_of(tmp_path: Path, warnings: list[str]) -> None:
    sealed_from(tmp_path / "s", "some-value", warnings, 0o640)
    assert warnings == [f"{tmp_path / 's'}: others may read these secrets (mode 0640): chmod 600"]


def test_a_pipe_is_read_like_a_file(warnings: list[str]) -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as file:
        file.write(b"some-value\n")
    masker = Masker()
    seal_file(f"/dev/fd/{out}", masker.seal, warnings.append)
    os.close(out)
    assert masker.scrub("some-value") == "***"
    assert warnings == []


def test_a_file_that_can_not_be_read(tmp_path: Path, warnings: list[str]) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        seal_file(str(tmp_path / "missing"), Masker().seal, warnings.append)
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        seal_file(str(tmp_path), Masker().seal, warnings.append)


def test_the_state_gives_its_tokens(tmp_path: Path, seeded: Seeded) -> None:
    token = seeded.new("token")
    seeded.allow("file", token)
    path = tmp_path / "state"
    StateFile(path).save([Revocation("vault", "token", {}, token=Masker().seal(token, "token"))])
    masker = Masker()
    seal_state(str(path), masker.seal)
    assert masker.scrub(token) == "***"


def test_a_state_without_tokens_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with pytest.raises(UsageError, match="is missing or holds no token"):
        seal_state(str(path), Masker().seal)
    StateFile(path).save([])
    with pytest.raises(UsageError, match="is missing or holds no token"):
        seal_state(str(path), Masker().seal)
