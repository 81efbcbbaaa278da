"""Jobs that outlive what they began with: the identity token, and the session of AWS.

What it can't show: GitHub's own lifetimes (here 6 s instead of 5 minutes), and a session that AWS itself ends.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests import environment
from tests.e2e.clouds import Clouds, Start
from tests.fakes.azure_entra import AUDIENCE as AZURE
from tests.fakes.azure_entra import CLIENT, SUBSCRIPTION, TENANT
from tests.fakes.github_oidc import OIDCIssuer, gitlab_claims
from tests.leaks import Seeded
from tests.servers.seaweedfs import ROLE

LIFETIME = 6.0

CONFIG = f"""\
version: 1
providers:
  azure:
    type: azure
    tenant_id: {TENANT}
    client_id: {CLIENT}
    subscription_id: {SUBSCRIPTION}
leases:
  - use: azure
"""

# Logs in with what the file holds, once a second, as `az login --federated-token "$(cat FILE)"` does.
TRAIN = """\
import hashlib, os, sys, time, requests
path = os.environ["AZURE_FEDERATED_TOKEN_FILE"]
url = f"{os.environ['AZURE_AUTHORITY_HOST']}{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    with open(path) as file:
        token = file.read()
    answer = requests.post(url, timeout=5, data={
        "client_id": os.environ["AZURE_CLIENT_ID"],
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": token,
        "grant_type": "client_credentials",
        "scope": "https://management.azure.com/.default",
    })
    mode = oct(os.stat(path).st_mode & 0o777)
    print(answer.status_code, hashlib.sha256(token.encode()).hexdigest(), mode, f"<{token}>", flush=True)
    time.sleep(1)
print("trained", path)
sys.exit(7)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(seeded: Seeded, tmp_path: Path) -> Iterator[Run]:
    """`keylease exec` with the configuration and the program; exit code, stdout, stderr."""
    started: list[subprocess.Popen[str]] = []

    def begin(servers: Clouds, env: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
        (tmp_path / "keylease.yml").write_text(servers.addressed(CONFIG))
        (tmp_path / "train.py").write_text(TRAIN)
        (tmp_path / "temporary").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "keylease", "exec", "--", sys.executable, "train.py", str(seconds)],
            cwd=tmp_path,
            env=environment.clean_environment(**{**env, "TMPDIR": str(tmp_path / "temporary")}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        out, err = process.communicate(timeout=60)
        servers.add_issued()
        seeded.saw("stdout", out)
        seeded.saw("stderr", err)
        return process.returncode, out, err

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def reads(out: str) -> list[tuple[str, str]]:
    """Status and digest of each login; each was hidden, and the file private."""
    lines = [line for line in out.splitlines() if re.match(r"\d{3} ", line)]
    assert all(line.endswith(" 0o600 <***>") for line in lines), lines
    return [(line.split()[0], line.split()[1]) for line in lines]


def nothing_left(out: str, directory: Path) -> bool:
    """The token's file was there, and is gone."""
    path = Path(out.splitlines()[-1].removeprefix("trained "))
    assert path.is_relative_to(directory / "temporary")
    return [each for each in (directory / "temporary").rglob("*") if each.is_file()] == []


@pytest.mark.slow
def test_the_token_file_is_good_for_as_long_as_the_command_runs(
    clouds: Start, issuer: OIDCIssuer, run: Run, tmp_path: Path
) -> None:
    """GitHub: three lives of a token, and not one login that is refused."""
    servers = clouds()
    for _ in range(20):
        issuer.token_next(lifetime=LIFETIME)
    code, out, err = run(servers, issuer.github_env(), 3 * LIFETIME)
    assert code == 7, err
    found = reads(out)
    assert len(found) >= 12
    assert {status for status, _ in found} == {"200"}, found
    assert len({digest for _, digest in found}) >= 4
    assert "warning" not in err
    assert nothing_left(out, tmp_path)


@pytest.mark.slow
def test_a_failing_endpoint_is_told_and_asked_again(
    clouds: Start, issuer: OIDCIssuer, run: Run, tmp_path: Path
) -> None:
    """One renewal fails for good; the next, before the token ends, passes."""
    servers = clouds()
    issuer.token_next(lifetime=2 * LIFETIME)
    issuer.fail_next(1, 403)
    code, out, err = run(servers, issuer.github_env(), 3 * LIFETIME)
    assert code == 7, err
    found = reads(out)
    assert {status for status, _ in found} == {"200"}, found
    assert len({digest for _, digest in found}) == 2
    assert err.count("renewing failed") == 1
    assert nothing_left(out, tmp_path)


@pytest.mark.slow
def test_where_no_newer_token_is_to_be_had_it_is_told_once(
    clouds: Start, issuer: OIDCIssuer, run: Run, tmp_path: Path
) -> None:
    """GitLab makes a job's tokens when the job starts."""
    issuer.reset(gitlab_claims())
    servers = clouds()
    env = {"GITLAB_CI": "true", "CI": "true", "CI_PROJECT_DIR": str(tmp_path / "work")}
    (tmp_path / "work").mkdir()
    env["AZURE_ID_TOKEN"] = servers.mint(AZURE, lifetime=LIFETIME)
    code, out, err = run(servers, env, 2 * LIFETIME)
    assert code == 7, err
    found = reads(out)
    assert (found[0][0], found[-1][0]) == ("200", "401")
    assert len({digest for _, digest in found}) == 1
    told = [line for line in err.splitlines() if "AZURE_ID_TOKEN" in line]
    assert len(told) == 1, err
    assert re.search(r"warning: AZURE_FEDERATED_TOKEN_FILE \(identity token\) ends in [01] s: ", told[0])
    assert "no newer identity token" in told[0]
    assert "Traceback" not in err
    assert nothing_left(out, tmp_path)


# AWS's SDKs, which ask for another session by themselves.

SDK = """\
import boto3, time
session = boto3.Session(profile_name="job")
sts = session.client("sts")
for _ in range(3):
    print(session.get_credentials().access_key, sts.get_caller_identity()["Arn"], flush=True)
    time.sleep(4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_boto3_takes_a_new_session_before_the_first_one_ends(
    clouds: Start, issuer: OIDCIssuer, seeded: Seeded, tmp_path: Path, platform: str
) -> None:
    """botocore asks again when less than 15 minutes are left: of this session, after 5 s."""
    if platform == "gitlab":
        issuer.reset(gitlab_claims())
    servers = clouds()
    (tmp_path / "keylease.yml").write_text(
        "version: 1\nproviders:\n  aws:\n    type: aws\n    region: eu-central-1\n"
        f"    role_arn: {ROLE}\n    duration: 905s\n"
    )
    command = f"{sys.executable} -m keylease credential-process --provider aws --config {tmp_path / 'keylease.yml'}"
    (tmp_path / "config").write_text(f"[profile job]\nregion = eu-central-1\ncredential_process = {command}\n")
    env = {**servers.env(), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    if platform == "gitlab":
        env |= {"GITLAB_CI": "true", "AWS_ID_TOKEN": servers.mint("sts.amazonaws.com")}
    else:
        env |= issuer.github_env()
    done = subprocess.run(
        [sys.executable, "-c", SDK],
        env=environment.clean_environment(**env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    seeded.saw("stderr", done.stderr)
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    assert len(said) == 3
    keys = [key for key, _ in said]
    assert keys[0] != keys[2], "the same session until the end"
    assert all("assumed-role/ci/" in arn for _, arn in said)
    assert done.stderr == ""
    if platform == "github":
        assert len(issuer.token_requests()) >= 2
