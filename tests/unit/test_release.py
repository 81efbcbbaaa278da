"""tools/release.py: what the release workflow trusts it with."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "docker://ghcr.io/keylease/keylease@sha256:" + "ab" * 32


@pytest.fixture
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pinning_changes_the_image_and_nothing_else(release: ModuleType) -> None:
    before = (ROOT / "action.yml").read_text(encoding="utf-8")
    after = release.pinned(IMAGE, before)
    action, pinned = yaml.safe_load(before), yaml.safe_load(after)
    assert pinned["runs"].pop("image") == IMAGE
    assert action["runs"].pop("image") == "Dockerfile"
    assert action == pinned
    assert len(after.splitlines()) == len(before.splitlines())


@pytest.mark.parametrize("image", ["docker://ghcr.io/keylease/keylease:0.1.0", "ghcr.io/x/y@sha256:" + "ab" * 32, ""])
def test_only_a_digest_can_be_pinned(release: ModuleType, image: str) -> None:
    with pytest.raises(SystemExit, match="not an image pinned by digest"):
        release.pinned(image, "  image: Dockerfile\n")


def test_an_action_that_is_pinned_already_is_refused(release: ModuleType) -> None:
    with pytest.raises(SystemExit, match="found 0"):
        release.pinned(IMAGE, f"runs:\n  image: {IMAGE}\n")


CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [0.2.0] - 2026-12-01

### Added

- This.

## [0.1.0] - 2026-11-24

- That.

[0.1.0]: https://example.com
"""


def test_notes_are_the_version_s_section(release: ModuleType) -> None:
    assert release.notes("0.2.0", CHANGELOG) == "### Added\n\n- This."
    assert release.notes("0.1.0", CHANGELOG) == "- That."


@pytest.mark.parametrize("version", ["0.3.0", "0.2", "Unreleased", "0x2.0"])
def test_a_version_without_a_section_is_refused(release: ModuleType, version: str) -> None:
    with pytest.raises(SystemExit, match="no section"):
        release.notes(version, CHANGELOG)


def test_check_refuses_a_tag_of_another_version(release: ModuleType) -> None:
    with pytest.raises(SystemExit, match="the package says"):
        release.main(["check", "v99.0.0"])


def test_every_action_in_our_workflows_is_pinned_by_commit() -> None:
    for path in [*(ROOT / ".github/workflows").glob("*.yml"), *(ROOT / "examples").rglob("*.yml")]:
        for uses in re.findall(r"^ +(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert uses == "keylease/keylease@v0" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", uses), uses
