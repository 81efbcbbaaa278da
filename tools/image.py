"""Build the action's image with docker or podman, whichever answers, and report its size and layers.

    python tools/image.py [--base IMAGE] [--tag NAME] [--engine docker|podman]

The layers are reproducible: the same commit on the same base gives the same layer digests.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MIB = 1024 * 1024
STAND_IN = "localhost/keylease-testbase"
NO_BASE = """\
image: the base image {base} is neither here nor can it be pulled:
image:   {reason}
image: Ways out: `{engine} save {base}` where a registry can be reached, and `{engine} load` here; another base with
image: Python 3.13 and pip (--base IMAGE); or root and debootstrap, for a stand-in: {stand_in_reason}"""
STOOD_IN = """\
image: {base} can't be pulled here ({reason})
image: so this image was built on a stand-in, Debian's own Python: good for tests and sizes, NOT TO BE PUBLISHED."""


def find_engine(wanted: str | None) -> list[str] | None:
    """The first of docker and podman that answers, as a command; a docker client without a daemon doesn't count."""
    for name in (wanted,) if wanted else ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            # crun, podman's default, refuses hosts with hybrid cgroups; runc with cgroupfs runs on those too.
            as_root = name == "podman" and os.geteuid() == 0 and shutil.which("runc")
            return [name, "--runtime", "runc", "--cgroup-manager", "cgroupfs"] if as_root else [name]
    return None


def default_base() -> str:
    """The base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("image: the Dockerfile has no line 'ARG BASE=…'")
    return found[1]


def have_base(engine: list[str], base: str) -> str | None:
    """None when *base* is here (pulled if need be), else the engine's reason."""
    if subprocess.run([*engine, "image", "inspect", base], capture_output=True, check=False).returncode == 0:
        return None
    print(f"image: pulling {base}")
    done = subprocess.run([*engine, "pull", "--quiet", base], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def make_stand_in(engine: list[str]) -> str | None:
    """None when the stand-in base was made (or was here already), else the reason."""
    tool = [sys.executable, str(REPOSITORY / "tools/testbase.py")]
    with tempfile.TemporaryDirectory(prefix="keylease-") as context:
        done = subprocess.run([*tool, "--context", context], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            command = [*engine, "build", "--quiet", "--tag", STAND_IN, context]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def git(*args: str) -> str:
    """Output of a git command in the repository; empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", REPOSITORY, *args], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def version() -> str:
    """Keylease's version, from its one place."""
    found = re.search(r'^__version__ = "([^"]+)"', (REPOSITORY / "src/keylease/__init__.py").read_text(), re.MULTILINE)
    return found[1] if found else "0"


def compressed_bytes(engine: list[str], tag: str) -> int:
    """Size of the image as a registry would send it (gzip), near enough."""
    with subprocess.Popen([*engine, "save", tag], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as save:
        counter = _Counter()
        assert save.stdout is not None
        with gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6, mtime=0) as packed:
            shutil.copyfileobj(save.stdout, packed)
    return counter.total


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.total = 0

    def write(self, data: bytes) -> int:
        self.total += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept, so nothing is to be flushed."""


def report(engine: list[str], tag: str) -> None:
    """Print the size, the layers and the start-up time."""
    done = subprocess.run([*engine, "image", "inspect", tag], capture_output=True, text=True, check=True)
    (found,) = json.loads(done.stdout)
    packed = compressed_bytes(engine, tag)
    print(f"image: {tag}  {found['Id'].removeprefix('sha256:')[:12]}")
    print(f"image: {found['Size'] / MIB:.1f} MiB unpacked, {packed / MIB:.1f} MiB compressed")
    for digest in found["RootFS"]["Layers"]:
        print(f"image: layer {digest}")
    # podman would raise the limits, which a machine that is itself confined refuses.
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"] if engine[0] == "podman" else []
    program = ["--entrypoint", "/opt/keylease/bin/keylease", tag, "--version"]
    command = [*engine, "run", "--rm", "--network", "none", *limits, *program]
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds.append(time.monotonic() - began)
    if done.returncode == 0:
        print(f"image: `{engine[0]} run … keylease --version` takes {min(seconds):.2f} s: {done.stdout.strip()}")
    else:
        print(f"image: it was built, but can't be started here: {done.stderr.strip().splitlines()[-1]}")


def main() -> int:
    """Return 0 when the image was built, 1 otherwise."""
    parser = argparse.ArgumentParser(description="Build the action's container image and report its size.")
    parser.add_argument("--base", default=default_base(), help="base image (default: %(default)s)")
    parser.add_argument("--tag", default="keylease:dev", help="name of the image (default: %(default)s)")
    parser.add_argument("--engine", choices=("docker", "podman"), help="default: whichever answers, docker first")
    args = parser.parse_args()
    engine = find_engine(args.engine)
    if engine is None:
        print("image: neither docker nor podman answers here. On Debian or Ubuntu:", file=sys.stderr)
        print("image:   sudo apt-get install --no-install-recommends podman runc", file=sys.stderr)
        return 1
    base = args.base
    reason = have_base(engine, base)
    if reason is not None:
        stand_in_reason = make_stand_in(engine)
        if stand_in_reason is not None:
            names = {"base": base, "reason": reason, "engine": engine[0], "stand_in_reason": stand_in_reason}
            print(NO_BASE.format(**names), file=sys.stderr)
            return 1
        base = STAND_IN
    revision = git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "src", "docker") else "")
    command = [*engine, "build", "--network", "host", "--tag", args.tag, "--build-arg", f"BASE={base}"]
    command += ["--build-arg", f"VERSION={version()}", "--build-arg", f"REVISION={revision or 'unknown'}", "."]
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode:
        print(f"image: the build failed with exit code {done.returncode}", file=sys.stderr)
        return 1
    report(engine, args.tag)
    if reason is not None:
        print(STOOD_IN.format(base=args.base, reason=reason))
    return 0


if __name__ == "__main__":
    sys.exit(main())
