"""The image's file tree, built beside us: the interpreter, bytecode and entry points that the container runs.

`docker/assemble.py` makes it exactly as the Dockerfile does, only with this machine's Python in place of the base
image's. So start-up is measured as users have it, without a container engine.
"""

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.measure import BenchError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
LOCK = ROOT / "requirements" / "runtime.lock"
ASSEMBLE = ROOT / "docker" / "assemble.py"
INSIDE = "/opt/keylease"
FLAGS = "-ISBXutf8"


@dataclass(frozen=True)
class Layout:
    """A file tree like the image's, at `root`."""

    root: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin/python3"

    @property
    def packages(self) -> Path:
        """The directory of the dependencies, and of keylease."""
        return self.root / "lib/packages"

    def entry(self, name: str) -> list[str]:
        """The command that an entry point of the image stands for (its shebang names the image's paths)."""
        return [str(self.python), FLAGS, str(self.root / "bin" / name)]

    def version(self) -> str:
        """Of the interpreter."""
        code = "import sys; print(sys.version.split()[0])"
        return subprocess.run(
            [self.python, FLAGS, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()


def build(python: str) -> Layout:
    """The layout for an interpreter that has pip; its unchanged part is kept in `.cache/bench`.

    Raises BenchError when the dependencies can't be installed.
    """
    base = _run([python, "-c", "import os, sys; print(os.path.realpath(sys._base_executable))"]).strip()
    runtime = _runtime(python, base)
    root = runtime.parent / "current"
    shutil.rmtree(root, ignore_errors=True)
    # Hard links would share what `app` replaces; 30 MB are copied in a moment.
    shutil.copytree(runtime, root, symlinks=True)
    with tempfile.TemporaryDirectory(dir=runtime.parent) as app:
        _run([base, str(ASSEMBLE), "app", "--source", "src/keylease", "--license", "LICENSE", "--root", app])
        shutil.copytree(app, root, dirs_exist_ok=True)
    layout = Layout(Path(f"{root}{INSIDE}"))
    for entry in layout.root.glob("bin/keylease*"):
        entry.write_text(entry.read_text().replace(f"{INSIDE}/lib/packages", str(layout.packages)))
    return layout


def _runtime(python: str, base: str) -> Path:
    # pip is the given interpreter's; what is copied is the one behind it, should it be a virtual environment's.
    digest = hashlib.sha256(LOCK.read_bytes() + ASSEMBLE.read_bytes())
    digest.update(_run([python, "-c", "import sys; print(sys.version, sys.base_prefix)"]).encode())
    done = CACHE / digest.hexdigest()[:16] / "runtime"
    if done.is_dir():
        return done
    done.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=done.parent) as made:
        packages, root = Path(made, "packages"), Path(made, "root")
        install = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
        install += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--root-user-action=ignore"]
        _run([python, *install, "--target", str(packages), "-r", str(LOCK)])
        _run([base, str(ASSEMBLE), "runtime", "--packages", str(packages), "--root", str(root)])
        root.rename(done)
    return done


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
