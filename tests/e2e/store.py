"""Where the tests' podman keeps its images, and how it is configured: nothing of it is the machine's own podman's."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Host network: the tests' servers listen on loopback. File locks and an own tmp_dir: shared-memory locks are one pool
# for all of a user's podmans. The ulimits: podman's default asks for more than a container may raise to. The delay:
# after each `exec` podman would keep a process for five minutes.
CONTAINERS_CONF = """\
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
{runtime}
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
exit_command_delay = 2
tmp_dir = "{run}/libpod"
"""
STORAGE_CONF = """\
[storage]
driver = "{driver}"
graphroot = "{graph}"
runroot = "{run}/storage"
{options}
"""
# No search registries: a short name never leaves the machine. No credential helpers, no mirrors.
REGISTRIES_CONF = "unqualified-search-registries = []\n"
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
FUSE = "/usr/bin/fuse-overlayfs"


def cache_directory() -> Path:
    """$KEYLEASE_CACHE_DIR, else keylease below the user's cache: it outlives a checkout and `git clean`."""
    own = os.environ.get("KEYLEASE_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keylease"


# Read when the module is loaded: the tests' environment is scrubbed later on.
CACHE = cache_directory()


class NoEngineError(Exception):
    """Containers can't be run here; the message is the reason, for a skip or (with CI=true) a failure."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on *path*: several pytest workers share one store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Store:
    """A usable image store.

    Attributes:
        driver: "overlay", "fuse" (overlay by fuse-overlayfs) or "vfs" (copies everything: slow, works anywhere).
        command: podman with its global options.
        environment: the whole environment to run it in.
        lock: file to hold while images are built or tagged.
    """

    driver: str
    command: tuple[str, ...]
    environment: dict[str, str]
    lock: Path

    @classmethod
    def find(cls, configuration: Path) -> "Store":
        """Return the fastest store that works here; its configuration files are written to *configuration*.

        Raises:
            NoEngineError: podman is missing or runs with no storage driver; the message has its own words.
        """
        podman = shutil.which("podman")
        if podman is None:
            raise NoEngineError("podman is not installed: run tools/system_packages.py as root")
        reasons = []
        for driver in ("overlay", "fuse", "vfs"):
            if driver == "fuse" and not (Path(FUSE).exists() and Path("/dev/fuse").exists()):
                continue
            store = cls._configured(podman, driver, configuration)
            probe = subprocess.run(
                [*store.command, "info", "--format", "{{.Store.GraphDriverName}}"],
                env=store.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            if probe.returncode == 0:
                return store
            reasons.append(f"{driver}: {(probe.stderr.strip() or 'no message').splitlines()[-1]}")
        raise NoEngineError(f"podman runs with no storage driver here ({'; '.join(reasons)})")

    @classmethod
    def _configured(cls, podman: str, driver: str, configuration: Path) -> "Store":
        graph = CACHE / f"store-{driver}"
        graph.mkdir(parents=True, exist_ok=True)
        run = _run_directory(graph)
        runtime = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        options = f'[storage.options.overlay]\nmount_program = "{FUSE}"' if driver == "fuse" else ""
        files = {
            "containers.conf": CONTAINERS_CONF.format(run=run, runtime='runtime = "runc"' if runtime else ""),
            "storage.conf": STORAGE_CONF.format(
                driver="overlay" if driver == "fuse" else driver, graph=graph, run=run, options=options
            ),
            "registries.conf": REGISTRIES_CONF,
            ".config/containers/policy.json": POLICY,
        }
        for name, text in files.items():
            path = configuration / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        proxies = {name for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")}
        passed_on = {"PATH", "XDG_RUNTIME_DIR", "SSL_CERT_FILE"} | proxies
        environment = {name: os.environ[name] for name in passed_on if name in os.environ} | {
            "HOME": str(configuration),  # the policy lies below it, and no registry credentials do
            "CONTAINERS_CONF": str(configuration / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(configuration / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(configuration / "registries.conf"),
            "TMPDIR": str(configuration),
            "LANG": "C.UTF-8",
        }
        return cls(driver, (podman,), environment, CACHE / f"store-{driver}.lock")


def _run_directory(graph: Path) -> Path:
    """Podman's run-time state: one fixed place per store, on a file system that a reboot empties where there is one."""
    name = f"keylease-e2e-{hashlib.sha256(str(graph).encode()).hexdigest()[:8]}"
    base = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    directory = base / name
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
