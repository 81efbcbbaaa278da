"""`make lint`: every check, side by side, one line each; what a failed one said comes after.

A check is a command, or a function that returns the problems it found. ``python tools/lint.py NAME…`` runs only those.
"""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sysconfig.get_path("scripts"))
LONGEST = 400
"""Lines of a source file. A longer one says why in a comment ``# long file: …`` within its first 40 lines."""

LOCK_STAMP = ROOT / "requirements" / "inputs.sha256"

Check = Sequence[str] | Callable[[], list[str]]


def tracked(*patterns: str) -> list[Path]:
    """Files of the work tree that git knows or would add, by git's patterns."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted(path for name in set(out.split("\0")) if name and (path := ROOT / name).is_file())


def tool(name: str, *arguments: str | Path) -> list[str]:
    """A command of the virtual environment, with paths made relative."""
    return [str(BIN / name), *(str(a.relative_to(ROOT)) if isinstance(a, Path) else a for a in arguments)]


def relative(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


def gitlab_template() -> list[str]:
    """Validate templates/keylease.yml: its header by hand, its jobs by GitLab's own schema."""
    import yaml

    class Loader(yaml.SafeLoader):
        def reference(self, node: yaml.Node) -> object:
            assert isinstance(node, yaml.SequenceNode)
            return self.construct_sequence(node)

    Loader.add_constructor("!reference", Loader.reference)
    problems = []
    for path in tracked("templates/*.yml"):
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader))  # a SafeLoader
        if len(documents) != 2:
            problems.append(f"{relative(path)}: expected a spec header and one document of jobs")
            continue
        header, jobs = documents
        inputs = header["spec"]["inputs"]
        for name, declared in inputs.items():
            unknown = set(declared) - {"description", "default", "type", "options", "regex"}
            if unknown or not declared.get("description"):
                problems.append(f"{relative(path)}: input {name}: unknown keys {sorted(unknown)}, or no description")
        used = set(re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", path.read_text(encoding="utf-8")))
        if used != set(inputs):
            problems.append(f"{relative(path)}: inputs declared but not used, or the reverse: {used ^ set(inputs)}")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as flat:
            json.dump(jobs, flat)
            flat.flush()
            done = subprocess.run(
                tool("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", flat.name),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                problems.append(done.stdout + done.stderr)
    return problems


def lock_inputs() -> str:
    """A hash of what the lock files are made from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [project["project"]["dependencies"], project["dependency-groups"], project["build-system"]["requires"]]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def lock_is_fresh() -> list[str]:
    """Whether the lock files were made from pyproject.toml as it is now, and pin everything by hash."""
    problems = []
    if not LOCK_STAMP.exists() or LOCK_STAMP.read_text(encoding="ascii").strip() != lock_inputs():
        problems.append("pyproject.toml's dependencies changed after the lock files were made: see CONTRIBUTING.md")
    for path in tracked("requirements/*.lock"):
        text = path.read_text(encoding="utf-8")
        loose = [
            entry.splitlines()[0]
            for entry in re.split(r"\n(?=\S)", text.strip())
            if not re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", entry) or "--hash=sha256:" not in entry
        ]
        problems += [f"{relative(path)}: not pinned with a hash: {line}" for line in loose]
    return problems


def file_sizes() -> list[str]:
    """Files that grew too long to be read at one sitting."""
    problems = []
    for path in tracked("*.py", "*.yml", "*.md", "Makefile", "Dockerfile"):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > LONGEST and not any("long file:" in line for line in lines[:40]):
            problems.append(f"{relative(path)}: {len(lines)} lines; split it, or say why in '# long file: …'")
    return problems


def private_hosts() -> set[str]:
    """Hosts of the package indexes that this machine is set up with, other than the public ones."""
    public = {"pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "localhost"}
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings = [
        said.stdout,
        *(value for name, value in os.environ.items() if "INDEX_URL" in name or "REGISTRY" in name),
    ]
    npmrc = Path.home() / ".npmrc"
    if npmrc.is_file():
        settings.append(npmrc.read_text(encoding="utf-8", errors="replace"))
    return set(re.findall(r"https?://(?:[^/@\s']*@)?([a-z0-9.-]+\.[a-z0-9-]+)", "\n".join(settings))) - public


def nothing_local() -> list[str]:
    """No path or name of the machine it was written on, and no package index but the public ones."""
    names = [re.escape(host) for host in private_hosts()]
    names += [re.escape(str(path)) for path in (Path.home(), ROOT) if len(path.parts) > 2]
    names += [re.escape(socket.gethostname())] if len(socket.gethostname()) > 8 else []
    names += [
        r"(?<![\w.$}/-])/(?:home|Users)/(?!runner\b|jenkins\b)[a-z][\w.-]*/",
        r"index-url[ =]+https?://(?!pypi\.org/)",
    ]
    pattern = re.compile("|".join(names))
    problems = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found := pattern.search(line):
                problems.append(f"{relative(path)}:{number}: {found[0]}")
    return problems


def checks() -> dict[str, Check]:
    """Every check by name; the slow ones first."""
    workflows = tracked(".github/workflows/*.yml")
    examples = tracked(
        *("examples/github/*.yml", "examples/sync/github.yml", "examples/train/github.yml"),
        *("examples/audit/github.yml", "examples/audit/organization.yml"),
    )
    schema = ["check-jsonschema", "--builtin-schema"]
    zizmor = ["--offline", "--no-progress", "--quiet", "--config", ".github/zizmor.yml"]
    return {
        "types (mypy)": tool("mypy"),
        "import contracts (import-linter)": tool("lint-imports"),
        "workflow security (zizmor)": tool("zizmor", *zizmor, "--persona", "pedantic", ROOT / "action.yml", *workflows),
        "example security (zizmor)": tool("zizmor", *zizmor, *examples),
        "own audit": tool("keylease", "audit", "--offline", "--config", ".ci/audit.yml", "."),
        "workflows (actionlint)": tool("actionlint", *workflows, *examples),
        "workflow schema": tool(*schema, "vendor.github-workflows", *workflows, *examples),
        "timeouts": tool(*schema, "custom.github-workflows-require-timeout", *workflows),
        "action schema": tool(*schema, "vendor.github-actions", ROOT / "action.yml"),
        "GitLab schema": tool(
            *(*schema, "vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
            *tracked(
                "examples/gitlab/*.yml", *(f"examples/{name}/.gitlab-ci.yml" for name in ("audit", "sync", "train"))
            ),
        ),
        "GitLab template": gitlab_template,
        "generated docs": [sys.executable, "tools/docs.py", "--check"],
        "lint (ruff)": tool("ruff", "check", "--quiet"),
        "format (ruff)": tool("ruff", "format", "--check", "--quiet"),
        "lock files": lock_is_fresh,
        "file sizes": file_sizes,
        "nothing local": nothing_local,
    }


def run(check: Check) -> tuple[bool, str, float]:
    """(passed, what it said, seconds)."""
    started = time.monotonic()
    if callable(check):
        problems = check()
        return not problems, "\n".join(problems), time.monotonic() - started
    # No check may phone home: check-jsonschema carries its schemas, zizmor runs with --offline.
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    return done.returncode == 0, done.stdout + done.stderr, time.monotonic() - started


def main(only: Sequence[str]) -> int:
    """Run the checks whose name contains one of `only` (all without it); 1 when one failed."""
    chosen = {name: c for name, c in checks().items() if not only or any(part in name for part in only)}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        results = {name: pool.submit(run, check) for name, check in chosen.items()}
        failed = {}
        for name, result in results.items():
            passed, said, seconds = result.result()
            print(f"  {'ok  ' if passed else 'FAIL'}  {name} ({seconds:.1f} s)", flush=True)
            if not passed:
                failed[name] = said
    for name, said in failed.items():
        print(f"\n── {name}\n{said.rstrip()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
