"""The steps of a release that need more than a line of shell. Used by .github/workflows/release.yml.

check TAG    that TAG, the package's version and the changelog agree; prints ``version=X.Y.Z``
pin IMAGE    makes action.yml run IMAGE (``docker://NAME@sha256:…``) instead of building the Dockerfile
notes VERSION  prints the changelog's section for VERSION
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version() -> str:
    """The package's version, read and not imported."""
    text = (ROOT / "src/keylease/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if not found:
        raise SystemExit("src/keylease/__init__.py: no __version__ line")
    return found[1]


def notes(wanted: str, changelog: str) -> str:
    """The changelog's section for `wanted`, without its heading. Exits where there is none, or an empty one."""
    heading = rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d$"
    parts = re.split(heading, changelog, maxsplit=1, flags=re.MULTILINE)
    following = r"^(?:## |\[[^]]+\]: )"
    section = re.split(following, parts[1], maxsplit=1, flags=re.MULTILINE)[0].strip() if len(parts) == 2 else ""
    if not section:
        raise SystemExit(f"CHANGELOG.md: no section '## [{wanted}] - YYYY-MM-DD' with something in it")
    return section


def pinned(image: str, action: str) -> str:
    """The text of action.yml with `image` in place of the Dockerfile. Exits unless exactly one line changes."""
    if not re.fullmatch(r"docker://[a-z0-9./-]+@sha256:[0-9a-f]{64}", image):
        raise SystemExit(f"not an image pinned by digest: {image}")
    text, count = re.subn(r"^  image: Dockerfile$", f"  image: {image}", action, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"action.yml: expected one line 'image: Dockerfile', found {count}")
    return text


def main(arguments: list[str]) -> None:
    """Run one step."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    match arguments:
        case ["check", tag]:
            if tag != f"v{version()}":
                raise SystemExit(f"the tag is {tag}, the package says {version()}")
            notes(version(), changelog)
            print(f"version={version()}")
        case ["pin", image]:
            path = ROOT / "action.yml"
            path.write_text(pinned(image, path.read_text(encoding="utf-8")), encoding="utf-8")
        case ["notes", wanted]:
            print(notes(wanted, changelog))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
