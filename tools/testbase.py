"""Build a stand-in for the `python:3.13-slim-trixie` base image, for machines that reach no container registry.

    python tools/testbase.py --key                          print a name for what would be built
    python tools/testbase.py --context DIR [--from IMAGE]   write a build context: `podman build -t NAME DIR` does it

It is Debian's own trixie with its own Python 3.13, made by debootstrap (about 40 s, once; needs root). Where the
official image has Python in /usr/local, this has it in /usr: docker/assemble.py copes with both. On top, and on top of
IMAGE where one is named, come this machine's pip settings and certificate bundle: pip inside a build must reach the
index the way pip outside does, a local certificate authority included. For tests only: never publish an image that
was built on it.
"""

import argparse
import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import re
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


BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


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


def pip_config(local_bundle: str | None) -> str:
    """A pip.conf with this machine's index, proxy and timeout settings; settings that name local files are left out.

    Args:
        local_bundle: path of the certificate bundle inside the image; None where there is none to use.
    """
    lines = ["[global]"]
    settings = _pip_settings()
    for name in ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout"):
        values = [value for value in settings.get(name, "").split() if not value.startswith(("file:", "/"))]
        if values:
            lines.append(f"{name.removeprefix('default-')} = {' '.join(values)}")
    if local_bundle is not None:
        lines.append(f"cert = {local_bundle}")
    return "\n".join(lines) + "\n"


def certificate_bundle() -> Path | None:
    """The bundle that pip uses here: a local certificate authority is in it, if there is one."""
    candidates = [_pip_settings().get("cert"), *map(os.environ.get, ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))]
    return next((Path(path) for path in (*candidates, BUNDLE) if path and Path(path).is_file()), None)


@functools.cache
def _pip_settings() -> dict[str, str]:
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", done.stdout, re.MULTILINE))


def key() -> str:
    """Changes when the image would: with the recipe, the pip settings, or the certificates."""
    bundle = certificate_bundle()
    digest = hashlib.sha256(f"{recipe_hash()}\n{pip_config(BUNDLE if bundle else None)}".encode())
    digest.update(bundle.read_bytes() if bundle else b"")
    return digest.hexdigest()[:12]


def write_context(directory: Path, image: str | None) -> None:
    """Write a Dockerfile and all it copies to *directory*, on *image* or, without one, on the stand-in.

    Raises:
        TestBaseError: the stand-in can't be built here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    bundle = certificate_bundle()
    lines = [f"FROM {image or 'scratch'}"]
    if image is None:
        shutil.copyfile(rootfs_tar(), directory / "base.tar")
        lines.append("ADD base.tar /")
    lines.append("COPY pip.conf /etc/pip.conf")
    (directory / "pip.conf").write_text(pip_config(BUNDLE if bundle else None))
    if bundle is not None:
        lines.append(f"COPY ca.crt {BUNDLE}")
        shutil.copyfile(bundle, directory / "ca.crt")
    (directory / "Dockerfile").write_text("\n".join(lines) + '\nCMD ["bash"]\n')


def main() -> int:
    """Print the key, or write the build context."""
    parser = argparse.ArgumentParser(description="Make a stand-in base image with debootstrap (tests only).")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--key", action="store_true", help="print a name for what would be built")
    action.add_argument("--context", metavar="DIR", type=Path, help="write a build context to DIR")
    parser.add_argument(
        "--from", metavar="IMAGE", dest="image", help="put the settings on this image, not the stand-in"
    )
    args = parser.parse_args()
    if args.key:
        print(key())
        return 0
    try:
        write_context(args.context, args.image)
    except TestBaseError as error:
        print(f"testbase: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
