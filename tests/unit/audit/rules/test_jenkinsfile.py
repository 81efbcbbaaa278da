"""Rules about Jenkinsfiles: SecretInterpolated, JenkinsfileClearSecret, JenkinsfileStaticKey."""

import time
from pathlib import Path

import pytest

from keylease.audit.collectors.jenkinsfile import facts_of
from keylease.audit.rules.jenkinsfile_clear_secret import JenkinsfileClearSecret
from keylease.audit.rules.jenkinsfile_secret_interpolated import SecretInterpolated
from keylease.audit.rules.jenkinsfile_static_key import JenkinsfileStaticKey
from tests.unit.audit.workflow_cases import inventory

BOUND = "environment { TOKEN = credentials('x') }\n"


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('sh "a ${TOKEN}"', 2),
        ('bat("a $TOKEN")', 2),
        ('sh returnStdout: true, script: """\n a ${env.TOKEN_PSW}\n"""', 3),
        ('pwsh "a ${TOKEN.trim()}"', 2),
        ("sh 'a ${TOKEN}'", 0),
        ('sh "a \\${TOKEN} ${TOKENS} ${TOKEN_USR}"', 0),
        ('echo "a ${TOKEN}"', 0),
        ('/* sh "${TOKEN}" */', 0),
        ("def x = 'sh \"${TOKEN}\"'", 0),
        ('def TOKEN = 1\nsh "a ${TOKEN}"', 0),
        ("sh \"a ${f('TOKEN')}\"", 0),
    ],
)
def test_scripts(script: str, line: int, tmp_path: Path) -> None:
    found = list(SecretInterpolated().check(inventory(tmp_path, {"ci/release.jenkinsfile": BOUND + script})))
    assert [each.location.line for each in found if each.location] == ([line] if line else [])


@pytest.mark.parametrize("name", ["Jenkinsfile", "a/Jenkinsfile.release", "x.jenkinsfile"])
def test_names_of_files(name: str, tmp_path: Path) -> None:
    text = f"{BOUND}x = 'glpat-{'aB3dE5gH7jK9mN1pQ2rS'}'\n"
    found = inventory(tmp_path, {name: text})
    [finding] = JenkinsfileClearSecret().check(found)
    assert "aB3dE5gH7jK9" not in repr((finding, found.records))


def test_bindings_of_several_kinds_are_one_finding_a_vendor(tmp_path: Path) -> None:
    text = (
        "withCredentials([[$class: 'AmazonWebServicesCredentialsBinding', credentialsId: 'aws',\n"
        " accessKeyVariable: 'AWS_ACCESS_KEY_ID', secretKeyVariable: 'AWS_SECRET_ACCESS_KEY'],\n"
        " file(credentialsId: 'k', variable: 'OPENAI_API_KEY')]) { sh 'x' }\n"
    )
    finding, other = JenkinsfileStaticKey().check(inventory(tmp_path, {"Jenkinsfile": text}))
    assert "OPENAI_API_KEY" in other.message
    assert "AWS_ACCESS_KEY_ID" in finding.message
    assert finding.location is not None
    assert finding.location.line == 2


def test_a_files_path_is_no_secret(tmp_path: Path) -> None:
    text = "withCredentials([file(credentialsId: 'k', variable: 'KEY'), aws('d')]) {{ sh \"{}\" }}"
    assert not list(SecretInterpolated().check(inventory(tmp_path, {"Jenkinsfile": text.format("a $KEY")})))
    assert list(SecretInterpolated().check(inventory(tmp_path, {"Jenkinsfile": text.format("$AWS_SECRET_ACCESS_KEY")})))


@pytest.mark.parametrize("piece", ['("', "${", '"${', "[", "$/", "/*", 'sh "$a" ', "string(", "\\", "'" * 3])
def test_hostile_files_are_read_in_time(piece: str) -> None:
    start = time.monotonic()
    assert facts_of(piece * (60_000 // len(piece)))["literals"] == []
    assert time.monotonic() - start < 5
