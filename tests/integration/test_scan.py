"""`keylease scan`: real repositories, a real manager; what is found, and that nothing of it is ever shown."""

import base64
import gzip
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunKeylease
from tests.fakes.github_oidc import OIDCIssuer
from tests.leaks import Seeded
from tests.servers.trust import Trust

FORMS = ("table", "json", "markdown", "sarif", "code-scanning", "junit", "gitlab", "html")


class Repository:
    """A git repository in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, data: bytes = b"") -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "change") -> str:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, seeded: Seeded) -> Repository:
    """Below it values are allowed: they are planted there."""
    seeded.allow_file(tmp_path / "repo")
    return Repository(tmp_path / "repo")


@pytest.fixture
def value(seeded: Seeded) -> str:
    return seeded.new("leaked")


Scan = Callable[..., tuple[int, Any]]


@pytest.fixture
def scan(keylease: RunKeylease, value: str, tmp_path: Path) -> Scan:
    """Looks for the value; the exit code and the JSON report."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, Any]:
        source = () if env else ("--env", "LEAKED")
        done = keylease("scan", *source, "--format", "json", *arguments, env=env or {"LEAKED": value})
        assert value not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def places(report: Any) -> list[str]:
    return sorted(each["subject"] for each in report["findings"])


def test_files(repository: Repository, scan: Scan, value: str) -> None:
    encoded = base64.b64encode(f"user:{value}".encode()).decode()
    repository.commit({"a/clear.txt": f"x\nkey={value}\n", "b.b64": encoded, "clean.txt": value[:-1]})
    (repository.root / "untracked.bin").write_bytes(b"\0\1" + value.encode() + b"\0")
    (repository.root / "link").symlink_to("a/clear.txt")
    code, report = scan(str(repository.root))
    assert code == 1
    assert places(report) == [f"file://repo/{name}" for name in ("a/clear.txt", "b.b64", "untracked.bin")]
    first = next(each for each in report["findings"] if "clear" in each["subject"])
    assert first["severity"] == "critical"
    assert first["rule"] == "leaked-secret"
    assert "line 2" in first["message"]
    assert "rotate LEAKED" in first["change"]


def test_a_clean_tree(repository: Repository, scan: Scan, value: str) -> None:
    repository.commit({"a.txt": "nothing", "b.txt": value[::-1]})
    code, report = scan(str(repository.root), "--history")
    assert (code, report["findings"], report["problems"]) == (0, [], [])
    assert report["performed"] is True
    assert report["checked"]["leaked-secret"] >= 4, "two files, two blobs and more"


def test_nothing_to_look_through_is_not_clean(repository: Repository, scan: Scan) -> None:
    assert scan(str(repository.root))[0] == 6


def test_what_is_found_often_hides_no_other(repository: Repository, scan: Scan, value: str, seeded: Seeded) -> None:
    other = seeded.new("other")
    repository.commit({"a.txt": f"{value}\n" * 20_000 + other})
    code, report = scan("--env", "ONE", "--env", "TWO", str(repository.root), env={"ONE": value, "TWO": other})
    assert code == 1
    assert {each["evidence"][0]["value"] for each in report["findings"]} == {"ONE", "TWO"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_files_of_windows(repository: Repository, scan: Scan, value: str, encoding: str) -> None:
    repository.commit({"a.txt": f"key={value}\r\n".encode(encoding)})
    assert scan(str(repository.root))[0] == 1


def test_a_part_of_a_document(repository: Repository, scan: Scan, seeded: Seeded) -> None:
    password = "correcthorsebatterystaple"
    seeded.add(password)
    repository.commit({"a.txt": f"x = {password}", "b.txt": "eu-central-1 database.example.com appuser01"})
    secret = {"user": "appuser01", "password": password, "region": "eu-central-1", "host": "database.example.com"}
    code, report = scan("--env", "DB", str(repository.root), env={"DB": json.dumps(secret)})
    assert code == 1
    assert places(report) == ["file://repo/a.txt"]
    assert report["problems"] == []


def test_a_part_that_is_secret_and_can_not_be_told_apart_is_not_clean(repository: Repository, scan: Scan) -> None:
    repository.commit({"a.txt": "nothing"})
    code, report = scan("--env", "DB", str(repository.root), env={"DB": '{"user": "appuser01", "pin": "4711"}'})
    assert code == 6
    assert "pin of DB" in json.dumps(report["problems"])


def test_history_only(repository: Repository, scan: Scan, value: str) -> None:
    repository.commit({"keep.txt": "1"})
    added = repository.commit({"old/key.txt": f"\n\nkey={value}"})
    repository.commit({"old/key.txt": None})
    assert scan(str(repository.root))[0] == 0
    code, report = scan(str(repository.root), "--history")
    assert code == 1
    (found,) = report["findings"]
    blob = repository.git("rev-parse", f"{added}:old/key.txt")
    assert found["subject"] == f"git://{blob}"
    assert "old/key.txt, line 3" in found["message"]
    assert added in json.dumps(found["evidence"])


def test_messages_and_what_nothing_reaches(repository: Repository, scan: Scan, value: str) -> None:
    commit = repository.commit({"a.txt": "1"}, f"use {value}")
    repository.git("tag", "-a", "-m", f"tag {value}", "v1")
    lost = repository.git("hash-object", "-w", "--stdin", data=value.encode())
    tag = repository.git("rev-parse", "v1")
    code, report = scan(str(repository.root), "--history")
    assert code == 1
    assert places(report) == sorted(f"git://{each}" for each in (commit, tag, lost))


def test_nothing_of_the_repository_is_run(repository: Repository, scan: Scan, value: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    repository.commit({"a.txt": value, ".gitattributes": "*.txt diff=x filter=x\n"})
    for key in ("core.fsmonitor", "diff.x.textconv", "diff.external", "gpg.program", "core.pager", "filter.x.smudge"):
        repository.git("config", key, str(program))
    repository.git("config", "log.showSignature", "true")
    (tmp_path / "ran").unlink(missing_ok=True)
    assert scan(str(repository.root), "--history")[0] == 1
    assert not (tmp_path / "ran").exists()


def test_a_shallow_clone_is_not_clean(repository: Repository, scan: Scan, value: str, tmp_path: Path) -> None:
    repository.commit({"a.txt": value})
    repository.commit({"a.txt": "1"})
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{repository.root}", str(tmp_path / "repo" / "clone")],
        check=True,
    )
    code, report = scan(str(tmp_path / "repo" / "clone"), "--history")
    assert (code, report["findings"]) == (6, [])
    assert "shallow" in json.dumps(report["problems"])


def test_a_broken_repository_is_not_clean(repository: Repository, scan: Scan) -> None:
    repository.commit({"a.txt": "something of some length"})
    blob = repository.git("rev-parse", "HEAD:a.txt")
    path = repository.root / ".git" / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"garbage")
    code, report = scan(str(repository.root), "--history")
    assert (code, bool(report["problems"])) == (6, True)
    code, report = scan(str(repository.root.parent), "--history")
    assert (code, "no git repository" in json.dumps(report["problems"])) == (6, True)


def test_over_the_edge_of_a_chunk(repository: Repository, scan: Scan, value: str) -> None:
    edge = 1 << 20
    texts = {f"{at}.txt": b"\n" * (edge - at) + value.encode() + b"\n" * 10 for at in (1, 5, len(value) - 1)}
    repository.commit({**texts, "two.txt": b"x" * (2 * edge - 3) + value.encode()})
    code, report = scan(str(repository.root))
    assert (code, len(report["findings"])) == (1, 4)
    lines = sorted(each["message"].rpartition("line ")[2] for each in report["findings"])
    assert lines == sorted(["1", *(str(edge - at + 1) for at in (1, 5, len(value) - 1))])


def test_artefacts(tmp_path: Path, seeded: Seeded, scan: Scan, value: str) -> None:
    directory = tmp_path / "dist"
    directory.mkdir()
    seeded.allow_file(directory)
    with zipfile.ZipFile(directory / "a.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/conf.py", f"KEY = '{value}'")
        archive.writestr("pkg/clean.py", "1")
    with tarfile.open(directory / "b.tar.gz", "w:gz") as tar:
        about = tarfile.TarInfo("etc/key")
        about.size = len(value)
        tar.addfile(about, io.BytesIO(value.encode()))
    (directory / "c.log.gz").write_bytes(gzip.compress(value.encode()))
    (directory / "d.log").write_text(value)
    code, report = scan("--artifacts", str(directory))
    assert (code, report["problems"]) == (1, [])
    assert [each.removeprefix(f"file://{directory}/") for each in places(report)] == [
        "a.whl!pkg/conf.py",
        "b.tar.gz!etc/key",
        "c.log.gz",
        "d.log",
    ]


def test_archives_that_can_not_be_looked_into(tmp_path: Path, scan: Scan) -> None:
    directory = tmp_path / "dist"
    directory.mkdir()
    (directory / "bomb.gz").write_bytes(gzip.compress(bytes(200 << 20)))
    (directory / "damaged.gz").write_bytes(gzip.compress(b"x" * 10_000)[:-20])
    inner = b"x"
    for _ in range(12):
        inner = gzip.compress(inner)
    with zipfile.ZipFile(directory / "nested.zip", "w") as archive:
        archive.writestr("inner.gz", inner)
    (directory / "other.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    code, report = scan("--artifacts", str(directory))
    assert (code, report["findings"]) == (6, [])
    text = json.dumps(report["problems"])
    for name in ("bomb.gz", "damaged.gz", "nested.zip", "other.7z"):
        assert name in text


def test_zeros_before_a_value_are_no_empty_archive(tmp_path: Path, scan: Scan, value: str) -> None:
    directory = tmp_path / "dist"
    directory.mkdir()
    (directory / "a.gz").write_bytes(gzip.compress(bytes(20_480) + value.encode()))
    code, report = scan("--artifacts", str(directory))
    assert code == 1
    assert [each.rpartition("/")[2] for each in places(report)] == ["a.gz"]


def test_the_manager_s_values(
    repository: Repository, keylease: RunKeylease, trust: Trust, issuer: OIDCIssuer, seeded: Seeded, tmp_path: Path
) -> None:
    value, other, clean = seeded.new("token"), seeded.new("other"), seeded.new("clean")
    trust.kv.put("ci", {"token": value, "clean": clean, "region": "eu-central-1"})
    trust.kv.put("more", {"password": other})
    config = tmp_path / "keylease.yml"
    config.write_text(f"""\
version: 1
providers:
  bao: {{type: vault, url: "{trust.bao.url}", role: {trust.role}, mount: {trust.mount}, audience: "{trust.audience}"}}
leases:
  - {{secret: "vault://{trust.kv.mount}/ci#token", env: TOKEN}}
  - {{secret: "vault://{trust.kv.mount}/ci#clean", env: CLEAN}}
  - {{secret: "vault://{trust.kv.mount}/more#*", prefix: APP_}}
""")
    repository.commit({"a.env": f"TOKEN={value}\n", "b.env": f"P='{other}'\nR=eu-central-1\n"})
    for form in FORMS:
        done = keylease(
            "scan", "--config", str(config), "--format", form, str(repository.root), env=issuer.github_env()
        )
        assert done.returncode == 1, done.stderr
        assert not [each for each in (value, other, clean) if each in done.stdout + done.stderr]
        assert "a.env" in done.stdout
        if form in ("json", "sarif", "table"):
            assert f"vault://{trust.kv.mount}/ci" in done.stdout
    done = keylease("scan", "--config", str(config), "--format", "json", str(repository.root), env=issuer.github_env())
    assert len(json.loads(done.stdout)["findings"]) == 2


def test_all_that_a_sync_reads(
    repository: Repository, keylease: RunKeylease, trust: Trust, issuer: OIDCIssuer, seeded: Seeded, tmp_path: Path
) -> None:
    kv = trust.kv.mount
    values = {name: seeded.new(name) for name in ("one", "two", "three", "clean", "elsewhere", "left")}
    trust.kv.put("team/a", {"key": values["one"], "clean": values["clean"]})
    trust.kv.put("team/deep/b", {"password": values["two"], "left": values["left"]})
    trust.kv.put("app", {"key": values["three"]})
    trust.kv.put("other", {"key": values["elsewhere"]})
    config = tmp_path / "keylease.yml"
    start = f"""\
version: 1
providers:
  bao: {{type: vault, url: "{trust.bao.url}", role: {trust.role}, mount: {trust.mount}, audience: "{trust.audience}"}}
targets:
  hub: {{type: github, token_env: NO_SUCH_VARIABLE}}
sync:
  - name: all
    from:
      - {{secret: "vault://{kv}/team/**", exclude: ["*LEFT"]}}
      - vault://{kv}/app#key
    to: github://owner/repository
"""
    config.write_text(start)
    repository.commit({name: value for name, value in values.items() if name != "clean"})
    arguments = ("scan", "--config", str(config), "--sync", "--format", "json", str(repository.root))
    done = keylease(*arguments, env=issuer.github_env())
    assert done.returncode == 1, done.stderr
    assert not [each for each in values.values() if each in done.stdout + done.stderr]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert places(report) == ["file://repo/one", "file://repo/three", "file://repo/two"]
    assert {each["evidence"][0]["value"] for each in report["findings"]} == {
        f"vault://{kv}/team/a#key",
        f"vault://{kv}/team/deep/b#password",
        f"vault://{kv}/app#key",
    }
    # What can't be read is no reason to call the rest clean.
    config.write_text(f"{start}  - {{name: more, from: 'vault://{kv}/nothing/**', to: github://owner/repository}}\n")
    repository.commit(dict.fromkeys(("one", "two", "three")))
    done = keylease(*arguments, env=issuer.github_env())
    assert done.returncode == 6
    assert f"vault://{kv}/nothing/** matches no secret" in done.stdout


def test_a_sync_is_named(repository: Repository, keylease: RunKeylease, tmp_path: Path) -> None:
    assert "--config" in keylease("scan", "--sync", str(repository.root)).stderr
    config = tmp_path / "keylease.yml"
    config.write_text("version: 1\nproviders: {}\n")
    done = keylease("scan", "--config", str(config), "--sync", str(repository.root))
    assert (done.returncode, "sync" in done.stderr) == (2, True)


def test_short_values_and_nothing_to_look_for(
    repository: Repository, keylease: RunKeylease, scan: Scan, tmp_path: Path
) -> None:
    repository.commit({"a.txt": "abc123 in every file"})
    done = keylease("scan", "--env", "SHORT", "--format", "json", str(repository.root), env={"SHORT": "abc123"})
    assert done.returncode == 6
    assert "SHORT" in json.dumps(json.loads(done.stdout)["problems"])
    assert keylease("scan", str(repository.root)).returncode == 2
    assert scan(str(tmp_path / "nowhere"))[0] == 2


def test_a_waiver_sets_one_aside(repository: Repository, scan: Scan, value: str, tmp_path: Path) -> None:
    repository.commit({"a.txt": value, "b.txt": value})
    config = tmp_path / "keylease.yml"
    until = '"2099-01-01"'
    config.write_text(
        f"version: 1\nproviders: {{}}\naudit:\n  waivers:\n"
        f"    - {{rule: leaked-secret, subject: '*/a.txt', reason: of a test, until: {until}}}\n"
        f"    - {{rule: env-file, subject: '*', reason: another, until: {until}}}\n"
    )
    code, report = scan("--config", str(config), str(repository.root))
    assert code == 1
    assert sorted(each["status"] for each in report["findings"]) == ["failing", "waived"]
