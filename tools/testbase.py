"""Build a stand-in for the `python:3.13-slim-trixie` base image, for machines that reach no container registry.

    python tools/testbase.py            print the path of the root file system's tar, building it if need be
    python tools/testbase.py --tag NAME also import it into docker or podman under NAME

It is Debian's own trixie with its own Python 3.13, made by debootstrap (about 40 s, once; needs root). Where the
official image has Python in /usr/local, this has it in /usr: docker/assemble.py copes with both. For tests only:
never publish an image built on it.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUITE = "trixie"
# bash is what act's job steps run in; pip and the certificates are what the Dockerfile's build stage needs.
PACKAGES = ("bash", "ca-certificates", "python3", "python3-pip")
# Nothing below these is needed in a build or a job, and it is half of the files.
LEFT_OUT = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists", "var/log")
# debootstrap leaves a device directory behind; the container engine makes its own.
EMPTIED = ("dev", "proc", "sys", "run", "tmp")


class TestBaseError(Exception):
    """The base can't be built here; the message says why and what would mend it."""


def cache_directory() -> Path:
    """The directory that outlives a checkout: $KEYLEASE_CACHE_DIR, else keylease below the user's cache."""
    own = os.environ.get("KEYLEASE_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keylease"


def recipe_hash() -> str:
    """Changes when what the tar holds would change (the machine's architecture included)."""
    recipe = "\n".join((SUITE, *PACKAGES, *LEFT_OUT, *EMPTIED, platform.machine()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on *path*; a second process waits and then finds the first one's result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = info.name.removeprefix("./")
    top, _, rest = name.partition("/")
    if (rest and top in EMPTIED) or info.isdev():
        return None
    if any(name.startswith(f"{path}/") for path in LEFT_OUT):
        return None
    return info


def rootfs_tar(cache: Path | None = None) -> Path:
    """Return the tar of the base's root file system, built on the first call and cached.

    Raises:
        TestBaseError: not root, no debootstrap, or debootstrap failed (its last lines are in the message).
    """
    directory = cache or cache_directory()
    target = directory / f"base-{SUITE}-{recipe_hash()}.tar"
    if target.exists():
        return target
    with locked(directory / "base.lock"):
        if target.exists():
            return target
        _build(target)
    return target


def _build(target: Path) -> None:
    debootstrap = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if debootstrap is None:
        raise TestBaseError("debootstrap is not installed: run tools/system_packages.py")
    if os.geteuid() != 0:
        raise TestBaseError("debootstrap needs root (it mounts and changes root): run as root, or pull the base image")
    with tempfile.TemporaryDirectory(prefix="keylease-base-", dir=target.parent) as scratch:
        rootfs = Path(scratch, "rootfs")
        packages = ",".join(PACKAGES)
        done = subprocess.run(
            [debootstrap, "--variant=minbase", f"--include={packages}", SUITE, str(rootfs)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise TestBaseError(f"debootstrap {SUITE} failed with exit code {done.returncode}:\n{tail}")
        partial = Path(scratch, "base.tar")
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(rootfs, arcname=".", filter=_kept)
        partial.replace(target)


def engines() -> list[str]:
    """The container engines that answer on this machine, docker first. A docker client without a daemon is none."""
    answering = []
    for name in ("docker", "podman"):
        if shutil.which(name):
            done = subprocess.run([name, "info"], capture_output=True, check=False, timeout=60)
            if done.returncode == 0:
                answering.append(name)
    return answering


def main() -> int:
    """Build the base, print the tar's path, and import it where asked to."""
    parser = argparse.ArgumentParser(description="Build a stand-in base image with debootstrap (tests only).")
    parser.add_argument("--tag", metavar="NAME", help="import into docker or podman under this name")
    args = parser.parse_args()
    try:
        tar = rootfs_tar()
    except TestBaseError as error:
        print(f"testbase: {error}", file=sys.stderr)
        return 1
    print(tar)
    if args.tag:
        available = engines()
        if not available:
            print("testbase: neither docker nor podman answers here", file=sys.stderr)
            return 1
        return subprocess.run([available[0], "import", str(tar), args.tag], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
