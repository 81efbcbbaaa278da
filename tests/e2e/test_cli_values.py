"""Values as awkward as a secret store may hold them, through the real program: byte for byte, or not at all."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.runner import read_pairs
from tests.e2e.site import AUDIENCE, Site

# Each has a random part of its own put before it, so that it can be searched for.
AWKWARD = {
    "QUOTES": "'single' \"double\" `tick`",
    "EXPANSIONS": "$HOME ${HOME} $(echo no) $((1+1)) ~ * ? [a] {a,b} !! !x",
    "BACKSLASHES": "\\ \\n \\\\ \\' \\",
    "LINES": "one\ntwo\n\n  three\n",
    "NEWLINES_AT_THE_END": "x\n\n\n",
    "CARRIAGE_RETURNS": "a\r\nb\rc\r",
    "PERCENT": "100% %25 %0A %0D %%",
    "COMMANDS": "\n::set-env name=X::y\n::error::z\n##[error]z",
    "HEREDOC": "\nEOF\nX<<EOF\nkeylease_00000000000000000000000000000000\nX=y",
    "SPACES": "  \t both ends \t ",
    "DASHES": "-n -e --help",
    "UNICODE": "é 漢 🔑 \u202e \u2028 \ufeff",
    "CONTROLS": "\x01\x1b[31m\x7f\x85",
    "SEPARATORS": "a=b;c&d|e>f<g#h",
}
# What the dialects of dotenv read differently, and so is refused.
NO_DOTENV = {"EXPANSIONS", "BACKSLASHES", "CARRIAGE_RETURNS", "QUOTES"}


@pytest.fixture
def env(site: Site, tmp_path: Path) -> dict[str, str]:
    """What a job needs to get a token, and a place of its own for the state."""
    state = tmp_path / "run"
    state.mkdir(mode=0o700)
    site.seeded.allow_file(state)
    return {**site.issuer.actions_env(), "XDG_RUNTIME_DIR": str(state)}


@pytest.fixture
def awkward(site: Site) -> dict[str, str]:
    """The values as stored in `secret/awkward`, by name."""
    values = {name: site.seeded.new("value") + text for name, text in AWKWARD.items()}
    values["LEADING"] = " \n" + site.seeded.new("leading")
    site.seeded.add(*values.values())
    site.put("awkward", values)
    return values


def wanted(names: "dict[str, str] | set[str]") -> list[str]:
    """`--secret` flags for these fields of `secret/awkward`."""
    return [f"secret/data/awkward {name} | {name}" for name in names]


# On shells and platforms that are not installed here, the quoting can't be shown to work; POSIX shells are enough.
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox", "ksh", "zsh") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_evaluate_them_byte_for_byte(
    keylease: RunKeylease, site: Site, env: dict[str, str], awkward: dict[str, str], shell: str, tmp_path: Path
) -> None:
    path = tmp_path / "exports"  # not by stdout: the fixture reads that as text, CR and all
    site.seeded.allow_file(path)
    done = keylease("lease", *site.flags(*wanted(awkward)), "--format", "shell", "--output", str(path), env=env)
    assert done.returncode == 0, done.stderr
    command = ["busybox", "sh"] if shell == "busybox" else [shell]
    text = path.read_bytes()
    # As the documentation says it: a variable first, then eval of it.
    script = b'exports="$(cat)"\neval "$exports"\nunset exports\nexec env -0\n'
    shown = subprocess.run(
        [*command, "-euc", script], input=text, capture_output=True, env=environment.clean_environment(), check=True
    ).stdout
    pairs = dict(pair.split(b"=", 1) for pair in shown.split(b"\0") if pair)
    assert {name: pairs[name.encode()] for name in awkward} == {n: v.encode() for n, v in awkward.items()}
    assert b"X" not in pairs


def test_exec_json_and_githubs_files_carry_them_byte_for_byte(
    keylease: RunKeylease, site: Site, env: dict[str, str], awkward: dict[str, str], tmp_path: Path
) -> None:
    site.seeded.allow("add-mask")
    flags = site.flags(*wanted(awkward))
    out = tmp_path / "environment"
    site.seeded.allow_file(out)
    done = keylease("exec", *flags, "--", "sh", "-c", 'env -0 > "$1"', "sh", str(out), env=env)
    assert done.returncode == 0, done.stderr
    pairs = dict(pair.split(b"=", 1) for pair in out.read_bytes().split(b"\0") if pair)
    assert {name: pairs[name.encode()] for name in awkward} == {n: v.encode() for n, v in awkward.items()}

    path = tmp_path / "values.json"
    site.seeded.allow_file(path)
    done = keylease("lease", *flags, "--format", "json", "--output", str(path), env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_bytes()) == awkward

    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for file in files.values():
        file.touch()
        site.seeded.allow_file(file)
    job = {**env, **site.issuer.github_env(), **{name: str(file) for name, file in files.items()}}
    done = keylease("lease", *flags, env=job)
    assert done.returncode == 0, done.stdout
    for file in files.values():
        assert dict(read_pairs(file)) == awkward


def test_dotenv_takes_what_all_its_dialects_agree_on_and_refuses_the_rest(
    keylease: RunKeylease, site: Site, env: dict[str, str], awkward: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "job.env"
    site.seeded.allow_file(path)
    fit = awkward.keys() - NO_DOTENV
    words = ["--format", "dotenv", "--output", str(path)]
    done = keylease("lease", *site.flags(*wanted(fit)), *words, env=env)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["sh", "-euc", f"set -a; . {path}; exec env -0"],
        capture_output=True,
        env=environment.clean_environment(),
        check=True,
    ).stdout
    pairs = dict(pair.split(b"=", 1) for pair in shown.split(b"\0") if pair)
    assert {name: pairs[name.encode()] for name in fit} == {name: awkward[name].encode() for name in fit}
    path.unlink()
    assert keylease("revoke", env=env).returncode == 0
    for name in sorted(NO_DOTENV):
        done = keylease("lease", *site.flags(*wanted({name})), *words, env=env)
        assert done.returncode == 2, (name, done.stderr)
        assert f"dotenv: the value of {name} can't be written so that every reader gets it unchanged" in done.stderr
        assert not path.exists()
        assert site.nothing_alive()


def test_gitlab_dotenv_warns_and_refuses(
    keylease: RunKeylease, site: Site, env: dict[str, str], awkward: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "report.env"
    site.seeded.allow_file(path, site.token)
    words = ["--format", "gitlab-dotenv", "--output", str(path)]
    done = keylease("lease", *site.flags(), *words, env=env)
    assert done.returncode == 0, done.stderr
    assert path.read_text() == f"DEPLOY_TOKEN={site.token}\n"
    assert "warning: gitlab-dotenv: the values are stored in clear as a job artifact" in done.stderr
    assert keylease("revoke", env=env).returncode == 0
    path.unlink()
    for name in ("LINES", "EXPANSIONS", "SPACES", "CARRIAGE_RETURNS"):
        done = keylease("lease", *site.flags("secret/data/ci token | A", *wanted({name})), *words, env=env)
        assert done.returncode == 2, (name, done.stderr)
        assert f"gitlab-dotenv: the value of {name} can't be written" in done.stderr
        assert not path.exists()
        assert site.nothing_alive()


# What no variable can hold: all or nothing, on every channel.


def refused(keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path, *secrets: str) -> set[str]:
    """The error's first line, which must be the same on every channel; no channel got a byte, and nothing is alive."""
    output, ran = tmp_path / "output", tmp_path / "ran"
    github = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for path in github.values():
        path.write_text("BEFORE=1\n")
    job = {**env, **site.issuer.github_env(), **{name: str(path) for name, path in github.items()}}
    site.seeded.allow("add-mask")
    said = set()
    for words, variables in (
        (["lease", "--format", "shell"], env),
        (["lease", "--format", "json", "--output", str(output)], env),
        (["lease"], job),
        (["exec"], env),
    ):
        command = ["--", "touch", str(ran)] if words[0] == "exec" else []
        done = keylease(*words, *site.flags("secret/data/ci token | GOOD", *secrets), *command, env=variables)
        assert done.returncode == 2, done.stderr
        visible = [line for line in done.stdout.splitlines() if not line.startswith("::add-mask::")]
        if variables is job:
            said.add(visible[0].removeprefix("::error title=Keylease::").split("%0A")[0])
        else:
            assert done.stdout == ""
            said.add(done.stderr.splitlines()[0].removeprefix("keylease: error: "))
        assert not output.exists()
        assert not ran.exists()
        assert {path.read_text() for path in github.values()} == {"BEFORE=1\n"}
        assert site.nothing_alive()
    return said


def test_a_nul_is_refused(keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path) -> None:
    value = site.seeded.new("nul") + "\0rest"
    site.seeded.add(value)
    site.put("bad", {"nul": value})
    said = refused(keylease, site, env, tmp_path, "secret/data/bad nul | BAD")
    assert said == {"--secret (no. 2):1: BAD: the value is binary (it holds a NUL byte or is not UTF-8)"}


def test_a_mebibyte_is_refused_as_a_variable_and_fine_as_a_file(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    value = site.seeded.new("big") + "0123456789abcdef" * (1 << 16)
    site.put("bad", {"big": value})
    said = refused(keylease, site, env, tmp_path, "secret/data/bad big | BAD")
    assert said == {
        f"--secret (no. 2):1: BAD: the value has {len(value)} bytes, too many for an environment variable",
    }
    (tmp_path / "keylease.yml").write_text(
        f"version: 1\nproviders: {{v: {{type: vault, url: '{site.bao.url}', role: deploy, audience: '{AUDIENCE}'}}}}\n"
        "leases: [{secret: 'vault://secret/bad#big', file: big, env: BIG}]\n"
    )
    done = keylease("exec", "--", "sh", "-c", 'wc -c < "$BIG"', env=env)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(value))), done.stderr


def test_two_leases_of_one_variable_are_refused(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    said = refused(keylease, site, env, tmp_path, "secret/data/ci token | SAME", "database/creds/app password | SAME")
    assert len(said) == 1
    assert "the variable SAME is asked for twice" in said.pop()


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "GITHUB_TOKEN", "KEYLEASE_CONFIG"])
def test_a_name_that_hands_the_job_over_is_refused(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path, name: str
) -> None:
    done = keylease("exec", *site.flags(f"secret/data/ci token | {name}"), "--", "true", env=env)
    assert done.returncode == 2, done.stderr
    assert f"{name} is protected and is not set" in done.stderr
    assert site.nothing_alive()


def test_binary_values_go_to_files_and_nowhere_else(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    data = b"\0\xff\xfe" + os.urandom(64) + b"\r\n"
    encoded = base64.b64encode(data).decode()
    site.seeded.add(encoded)
    site.put("bad", {"keystore": encoded, "text": site.seeded.new("not base64")})
    head = (
        f"version: 1\nproviders: {{v: {{type: vault, url: '{site.bao.url}', role: deploy, audience: '{AUDIENCE}'}}}}\n"
    )
    config = tmp_path / "keylease.yml"

    config.write_text(
        head + "leases: [{secret: 'vault://secret/bad#keystore', decode: base64, file: a/b.p12, env: STORE}]\n"
    )
    done = keylease("exec", "--", "sh", "-c", 'base64 -w0 "$STORE" | tr A-Za-z N-ZA-Mn-za-m', env=env)
    assert done.returncode == 0, done.stderr
    turned = str.maketrans(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
    )
    assert done.stdout == encoded.translate(turned)

    config.write_text(head + "leases: [{secret: 'vault://secret/bad#keystore', decode: base64, env: STORE}]\n")
    done = keylease("exec", "--", "true", env=env)
    assert done.returncode == 2
    assert "keylease.yml:3: leases[0].env: STORE: the value is binary" in done.stderr
    assert "change         deliver it with `file:`" in done.stderr

    config.write_text(head + "leases: [{secret: 'vault://secret/bad#text', decode: base64, env: STORE}]\n")
    done = keylease("exec", "--", "true", env=env)
    assert done.returncode == 2
    assert "the value of vault://secret/bad is not base64" in done.stderr
    assert site.nothing_alive()


@pytest.mark.parametrize(("form", "stays"), [("json", False), ("gitlab-dotenv", True)])
def test_revoke_deletes_the_output_file_but_for_an_artifact(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path, form: str, stays: bool
) -> None:
    output, state = tmp_path / "out", str(tmp_path / "state")
    site.seeded.allow_file(tmp_path)
    site.seeded.allow("file")
    words = ["--format", form, "--output", str(output), "--state", state]
    done = keylease("lease", *site.flags("secret/data/ci token | TOKEN"), *words, env=env)
    assert done.returncode == 0, done.stderr
    assert output.is_file()
    assert ("which deletes" in done.stderr) is not stays
    assert keylease("revoke", "--state", state, env=env).returncode == 0
    assert output.exists() is stays
