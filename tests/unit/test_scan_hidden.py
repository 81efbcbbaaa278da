"""Ways in which a value may lie somewhere: each is found, or told as not looked at. By the scan itself, in-process."""

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from keylease.pipelines.scan import Findings, Search
from keylease.pipelines.scan_files import artifacts, files_below, one_file
from keylease.pipelines.scan_git import history
from tests.integration.test_scan import Repository

VALUE = "Zq3Lw8Xv9kTn5Bc"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(
    base64.b64encode(hashlib.sha512(bytes([at])).digest()[:48]).decode() for at in range(6)
)
KEY += "\n-----END PRIVATE KEY-----\n"


def found(value: str | bytes, data: bytes) -> bool:
    value = value.encode() if isinstance(value, str) else value
    return bool(Search({value: "S"}).through(io.BytesIO(data)))


def wrapped(text: bytes, width: int, between: bytes = b"\n") -> bytes:
    return between.join(text[at : at + width] for at in range(0, len(text), width))


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "base64": base64.b64encode,
    "base64, one byte before": lambda data: base64.b64encode(b"a" + data),
    "base64, two bytes before": lambda data: base64.b64encode(b"ab" + data + b"cde"),
    "base64url": lambda data: base64.urlsafe_b64encode(b"\xff\xfe" + data + b"\xff"),
    "url": lambda data: quote(data, safe="").encode(),
    "JSON": lambda data: json.dumps(data.decode()).encode(),
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "xxd": lambda data: wrapped(data.hex().encode(), 60),
    "od": lambda data: data.hex(" ").encode(),
    "wrapped": lambda data: wrapped(base64.b64encode(b"user:" + data + b"\nmore of it"), 20),
    "wrapped for Windows": lambda data: wrapped(base64.b64encode(b"user:" + data), 11, b"\r\n"),
    "wrapped in YAML": lambda data: b"k: |\n    " + wrapped(base64.b64encode(b"12" + data), 13, b"\n    "),
    "broken by a backslash": lambda data: wrapped(data, 6, b"\\\n"),
    "broken": lambda data: wrapped(data, 5),
}


CASES = [
    (VALUE, form, encoding) for form in FORMS for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-16", "utf-32")
]
OTHER = 'p"w/ä€ß&%=+ 1Qz'
CASES += [(OTHER, form, encoding) for form in FORMS for encoding in ("utf-8", "utf-16-le") if "broken" not in form]


@pytest.mark.parametrize(("value", "form", "encoding"), CASES)
def test_forms(value: str, form: str, encoding: str) -> None:
    made = FORMS[form](value.encode()).decode()
    assert found(value, f"x = {made}\n".encode(encoding))
    assert not found(value, f"x = {made[::-1]}\n".encode(encoding))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_old_encodings(encoding: str) -> None:
    assert found("Zq3Lw8Xvüß9k", "x=Zq3Lw8Xvüß9k".encode(encoding))


def test_places_of_what_is_broken_up() -> None:
    data = b"a\nb\n\nkey: |\n  " + wrapped(VALUE.encode(), 5, b"\n  ") + b"\nend\n"
    (hit,) = Search({VALUE.encode(): "S"}).through(io.BytesIO(data))
    assert (hit.line, hit.form) == (5, "raw, broken up")


@pytest.mark.parametrize("before", [0, 1, 7, 14, 15, 16, 40, 80])
@pytest.mark.parametrize("form", ["raw", "base64", "wrapped in YAML", "broken"])
def test_over_the_edge_of_a_chunk(form: str, before: int) -> None:
    for encoding in ("utf-8", "utf-16-le"):
        text = FORMS[form](VALUE.encode()).decode().encode(encoding)
        assert found(VALUE, b"-" * ((1 << 20) - before) + text + b"-" * 99)


@pytest.mark.parametrize(
    "write",
    [
        lambda key: key,
        lambda key: key.replace("\n", "\r\n"),
        lambda key: key.replace("\n", "\\n"),
        lambda key: json.dumps({"key": key}),
        lambda key: json.dumps(json.dumps({"key": key})),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: wrapped(base64.b64encode(b"a" + key.encode()), 76).decode(),
        lambda key: "".join(key.split("\n")[1:-2]),
        lambda key: wrapped("".join(key.split("\n")[1:-2]).encode(), 76).decode(),
        lambda key: "".join(f"    {line}\n" for line in key.split("\n")),
        lambda key: "".join(f'"{line}\\n" +\n' for line in key.split("\n")),
        quote,
        lambda key: key.encode().hex(),
    ],
)
@pytest.mark.parametrize(
    "held", [KEY, KEY.replace("\n", "\\n"), KEY.replace("\n", "\r\n")], ids=["LF", "escaped", "CRLF"]
)
def test_keys(write: Callable[[str], str], held: str) -> None:
    assert found(held, f"x = {write(KEY)}\n".encode())


def test_parts() -> None:
    assert found('{"pin": 1234567890, "x": "y"}', b"PIN = 1234567890")
    assert Search({b'{"token_ttl": 3600, "password": "Zq3Lw8Xv9k"}': "S"}).unchecked == []
    assert found("USER=x\nDB_PASSWORD='correcthorse'\n", b"password: correcthorse")
    assert Search({b"API_TIMEOUT=30\nDB_PASSWORD=correcthorse\n": "S"}).unchecked == []


# Files.


def looked(path: Path, value: str = VALUE, **how: bool) -> tuple[list[str], list[str]]:
    search, result = Search({value.encode(): "S"}), Findings()
    if how.get("artefact"):
        artifacts(path, search, result)
    elif path.is_dir() and how.get("history"):
        history(path, search, result)
    elif path.is_dir():
        files_below(path, "", search, result)
    else:
        one_file(path, path.name, search, result)
    problems = [f"{each.location or ''} {each.what}" for each in result.inventory.problems]
    return [each.facts["path"] for each in result.inventory.records], problems


def zipped(files: dict[str, bytes], comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], **about: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            for key, each in about.items():
                setattr(entry, key, each)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


IN = {"a/key": b"x" * 999 + VALUE.encode()}
TAR = tarred(IN)
PACKED: dict[str, tuple[bytes, str]] = {
    "zip": (zipped(IN), "!a/key"),
    "zip with a comment": (zipped(IN, b"c" * 500), "!a/key"),
    "zip behind a program": (b"#!/usr/bin/env python\n" * 50 + zipped(IN), "!a/key"),
    "tar": (TAR, "!a/key"),
    "tar.gz": (gzip.compress(TAR), "!a/key"),
    "tar.xz": (lzma.compress(TAR), "!a/key"),
    "tar.bz2": (bz2.compress(TAR), "!a/key"),
    "gz": (gzip.compress(IN["a/key"]), ""),
    "xz": (lzma.compress(IN["a/key"]), ""),
    "gz, two members": (gzip.compress(b"1" * 2000) + gzip.compress(IN["a/key"]), ""),
    "zlib": (zlib.compress(IN["a/key"]), ""),
    "an empty tar before": (gzip.compress(tarred({"b": b""}) + TAR), ""),
    "zip in tar.gz in zip": (zipped({"b": gzip.compress(tarred({"c": zipped(IN)}))}), "!b!c!a/key"),
    "gz in gz": (gzip.compress(gzip.compress(gzip.compress(VALUE.encode()))), ""),
    "the name of a member": (gzip.compress(tarred({VALUE: b""})), f"!{VALUE} (its name and what is noted of it)"),
    "a member of a type that nobody knows": (gzip.compress(tarred(IN, type=b"Z")), "!a/key"),
    "a link's target": (
        gzip.compress(tarred({"b": b""}, type=tarfile.SYMTYPE, linkname=VALUE)),
        "!b (its name and what is noted of it)",
    ),
}


@pytest.mark.parametrize("form", PACKED)
@pytest.mark.parametrize("where", ["file", "artefact", "directory", "blob"])
def test_packed(tmp_path: Path, form: str, where: str) -> None:
    data, inside = PACKED[form]
    path = tmp_path / "in" / "made.bin"
    if where == "blob":
        repository = Repository(tmp_path / "repo")
        repository.commit({"made.bin": data})
        paths, problems = looked(repository.root, history=True)
        if form == "zip behind a program":
            assert not paths
            assert "something stands before" in problems[0]
            return
    else:
        path.parent.mkdir()
        path.write_bytes(data)
        target = path.parent if where == "directory" else path
        paths, problems = looked(target, artefact=where == "artefact")
    assert [each.rpartition("made.bin")[2] for each in paths] == [inside]
    assert problems == []


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"x" * 9999)[:-9],
        zipped(IN)[:-30],
        lzma.compress(os.urandom(999))[:-30],
        TAR[:1000],
        b"\x28\xb5\x2f\xfd" + bytes(99),
        b"PACK\0\0\0\x02" + bytes(99),
        gzip.compress(bytes(70 << 20)),
        zipped({"a": b"\x28\xb5\x2f\xfd" + bytes(99)}),
        zipped(IN) + zipped({"b": b"1"}),
        lzma.compress(IN["a/key"], lzma.FORMAT_ALONE),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12\n",
    ],
    ids=["gz", "zip", "xz", "tar", "zstd", "git pack", "bomb", "zstd in zip", "two zips", "lzma", "LFS"],
)
def test_what_can_not_be_unpacked_is_told(tmp_path: Path, data: bytes) -> None:
    repository = Repository(tmp_path / "repo")
    repository.commit({"made.bin": data})
    for back in (False, True):
        paths, problems = looked(repository.root, history=back)
        assert (paths, len(problems)) == ([], 1)


@pytest.mark.parametrize(
    "text", ["x^2 + y", "PACKAGE", "BZhang", "hsq", "Rar!", "z PK\x05\x06" + "x" * 60 + "\n" * 60000]
)
def test_texts_that_look_packed(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text)
    paths, problems = looked(tmp_path / "a")
    assert paths == []
    assert problems == []
