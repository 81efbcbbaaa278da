"""Install the system packages that the end-to-end tests need, where that can be done; else say how.

As root on Debian or Ubuntu: `apt-get install` of what is missing. Elsewhere: one command to run is printed and the
exit code is 0, as everything but the tests that need containers runs without them (those are then skipped by name,
or fail where CI=true).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# program -> Debian package, and what it is for
NEEDED = {
    "podman": ("podman", "the engine that runs the action's container and act's jobs"),
    "runc": ("runc", "the runtime under it: crun refuses hosts with hybrid cgroups"),
    "debootstrap": ("debootstrap", "builds the base image where no registry is reachable"),
    "git": ("git", "act and gitlab-ci-local read the repository through it"),
    "chromium": ("chromium", "the browser that the audit's page is tested in"),
    "rsync": ("rsync", "gitlab-ci-local copies the project with it"),
}


def missing() -> dict[str, str]:
    """Package and purpose of each program that isn't there."""
    return {
        package: purpose
        for program, (package, purpose) in NEEDED.items()
        if shutil.which(program, path=SEARCH_PATH) is None
    }


def main() -> int:
    """Return 0 unless apt-get was run and failed."""
    wanted = missing()
    if not wanted:
        return 0
    for package, purpose in wanted.items():
        print(f"system packages: {package} is missing ({purpose})")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *wanted]
    apt = shutil.which("apt-get") is not None and Path("/etc/debian_version").exists()
    if not apt or os.geteuid() != 0:
        if apt:
            print(f"system packages: to run the tests that need them: sudo {' '.join(install)}")
        else:
            print(f"system packages: to run the tests that need them, install: {' '.join(wanted)}")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        # A third-party source that fails to update must not stop us: the install tells whether it mattered.
        if done.returncode and command is install:
            print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
            print(f"system packages: '{' '.join(command)}' failed with exit code {done.returncode}", file=sys.stderr)
            return 1
    print(f"system packages: installed {' '.join(wanted)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
