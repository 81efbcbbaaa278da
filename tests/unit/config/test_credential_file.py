"""Which files a keylease.yml may have sent to the server that it names."""

from pathlib import Path

import pytest

from keylease.config.leases import check_credential_file
from keylease.errors import UsageError
from keylease.model import Origin

ORIGIN = Origin("keylease.yml", 5, "providers.vault.secret_id_file")


@pytest.mark.parametrize(
    "path", ["secret-id", "a/b", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/x"]
)
def test_the_jobs_own_and_what_is_mounted_for_it(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_credential_file(path, ORIGIN, {})
    check_credential_file(str(tmp_path / "temp" / "x"), ORIGIN, {"RUNNER_TEMP": str(tmp_path / "temp")})


@pytest.mark.parametrize(
    "path", ["/root/.git-credentials", "../x", "a/../../x", "/etc/passwd", "/proc/self/environ", "link"]
)
def test_nothing_else_of_the_machine(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match=r"^keylease\.yml:5: providers\.vault\.secret_id_file: .* is outside"):
        check_credential_file(path, ORIGIN, {"RUNNER_TEMP": str(tmp_path / "temp")})
