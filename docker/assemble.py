"""Collect the action image's root file system, inside the build stage, from the base's own Python.

    assemble.py runtime --packages DIR --root DIR              interpreter, dependencies, C libraries
    assemble.py app --source DIR --license FILE --root DIR     Keylease and its entry points

Works on the official `python` images (prefix /usr/local, shared libpython) and on Debian's own python3
(prefix /usr, static): both end up in one layout, so the entry points have one fixed shebang.

    /opt/keylease/bin/python3                   interpreter: finds /opt/keylease from its own place
    /opt/keylease/lib/pythonX.Y/                standard library, trimmed; lib-dynload/ below it
    /opt/keylease/lib/packages/                 dependencies, and keylease
    /opt/keylease/bin/keylease[-action[-post]]  entry points

Standard library and dependencies are shipped as bytecode without source (one file to find and read per
import, half the size; tracebacks keep file and line). Keylease itself keeps its source beside its bytecode,
for readable tracebacks and for whoever wants to see what runs on their token. Uses nothing outside the
standard library.
"""

import argparse
import importlib.util
import marshal
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path

PREFIX = "/opt/keylease"
STDLIB = f"{PREFIX}/lib/python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = f"{PREFIX}/lib/packages"

# One mtime on every file, so that equal content gives an equal layer. Bytecode is not bound to it.
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or 315532800)  # 1980-01-01: the oldest date a zip can hold

# Top-level names of the standard library that no command-line client needs. A deny-list, so that new code
# of ours can import the ordinary rest without an edit here. Dropped with a shared library behind them: Tk,
# readline, curses, dbm. SQLite stays: a sync keeps GitHub's answers in it (`cache`).
DROPPED_STDLIB = {
    "__phello__", "_aix_support", "_android_support", "_apple_support", "_ios_support", "_osx_support",
    "_pydatetime", "_pydecimal", "_pyio", "_pyrepl", "antigravity", "bdb", "cProfile", "cgi", "cgitb",
    "code", "codeop", "crypt", "curses", "dbm", "dist-packages", "distutils", "doctest", "ensurepip",
    "ftplib", "idlelib", "imaplib", "lib2to3", "mailbox", "modulefinder", "nntplib", "pdb", "pickletools",
    "poplib", "profile", "pstats", "pty", "pyclbr", "pydoc", "pydoc_data", "rlcompleter", "site-packages",
    "sitecustomize", "smtplib", "symtable", "tabnanny", "telnetlib", "test", "this", "timeit",
    "tkinter", "trace", "turtle", "turtledemo", "unittest", "venv", "wsgiref", "xmlrpc", "zipapp",
}  # fmt: skip
DROPPED_EXTENSIONS = re.compile(
    r"_(?:tkinter|curses\w*|dbm|gdbm|crypt|ctypes_test|test\w+|xx\w+|lsprof|codecs_(?:cn|hk|iso2022|jp|kr|tw))"
    r"$|xx\w*$|readline$|nis$|ossaudiodev$|spwd$"
)  # the East Asian codecs are 1 MB and no credential service answers in them
DROPPED_DIRS = {"__pycache__", "test", "tests", "idle_test", "_testing"}
# Of dependencies: what botocore makes clients of (28 MB that describe all AWS services). Here it signs, no more.
DROPPED_PARTS = {"botocore/data", "botocore/docs", "botocore/cacert.pem"}
# Type stubs, C and Cython sources, build leftovers.
DROPPED_SUFFIXES = {".pyi", ".c", ".h", ".pyx", ".pxd", ".exe", ".a", ".bat", ".sh"}
# Bytecode without docstrings reads a fifth faster; these read their own docstrings at import or run time.
KEEP_DOCSTRINGS = {"argparse", "keylease"}

# glibc loads these by name when it looks a host up; since 2.34 they are in libc itself and only stubs remain.
DLOPENED = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")

ENTRY_POINTS = {
    "keylease": ("keylease.cli", "main", "sys.argv[1:]"),
    "keylease-action": ("keylease.action", "main", ""),
    "keylease-action-post": ("keylease.action", "post", ""),
}
# -I: no PYTHON* variable, no user site, no script directory: an earlier step's PYTHONPATH runs nothing here.
# -S: no site.py, hence no .pth file. -B: the image may be mounted read-only. utf8: whatever the locale says.
# The OpenSSL variables load a library or write the session keys out; urllib3 reads SSLKEYLOGFILE despite -I.
# No garbage collection: a lease makes none worth collecting, and each import would look for some (`exec` turns it on).
# A script has no bytecode cache: keep this to what must happen before the first import.
ENTRY_POINT = """\
#!{prefix}/bin/python3 -ISBXutf8
import gc
import os
import sys

gc.disable()
for name in ("OPENSSL_CONF", "OPENSSL_CONF_INCLUDE", "OPENSSL_ENGINES", "OPENSSL_MODULES", "SSLKEYLOGFILE"):
    os.environ.pop(name, None)
sys.path.append("{packages}")
from keylease.leave import leave
from {module} import {function}

leave({function}({arguments}))
"""


def compile_file(source: Path, target: Path, shown: str, *, optimize: int) -> None:
    """Write *source*'s bytecode to *target*, never to be checked against a source; tracebacks say *shown*."""
    code = compile(source.read_bytes(), shown, "exec", dont_inherit=True, optimize=optimize)
    flags = 0b01  # PEP 552: hash-based, unchecked
    data = importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data + marshal.dumps(code))


def copy_tree(source: Path, root: Path, inside: str, *, keep_source: bool = False) -> None:
    """Copy a directory of Python code to *inside* (a path of the final image) below *root*, compiled."""
    for directory, names, files in os.walk(source):
        here = Path(directory).relative_to(source)
        names[:] = sorted(n for n in names if n not in DROPPED_DIRS and str(here / n) not in DROPPED_PARTS)
        for name in sorted(files):
            path = Path(directory, name)
            relative = here / name
            if str(relative) in DROPPED_PARTS:
                continue
            target = Path(f"{root}{inside}", relative)
            if path.suffix in DROPPED_SUFFIXES or path.suffix == ".pyc":
                continue
            if path.suffix != ".py":
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                continue
            shown = f"{inside}/{relative}"
            optimize = 0 if keep_source or relative.parts[0].removesuffix(".py") in KEEP_DOCSTRINGS else 2
            if keep_source:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                cached = target.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
                compile_file(path, cached, shown, optimize=optimize)
            else:
                compile_file(path, target.with_suffix(".pyc"), shown, optimize=optimize)


def copy_stdlib(root: Path) -> None:
    """Copy the base's standard library and its extension modules, without what DROPPED_* names."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    for entry in sorted(stdlib.iterdir()):
        name = entry.name.removesuffix(".py")
        dropped = name in DROPPED_STDLIB or name in DROPPED_DIRS or name.startswith("config-")
        if entry.is_dir() and not dropped and name != "lib-dynload":
            copy_tree(entry, root, f"{STDLIB}/{name}")
        elif entry.suffix == ".py" and not dropped:
            keep = 0 if name in KEEP_DOCSTRINGS else 2
            compile_file(entry, Path(f"{root}{STDLIB}", f"{name}.pyc"), f"{STDLIB}/{entry.name}", optimize=keep)
    dynload = Path(f"{root}{STDLIB}/lib-dynload")
    dynload.mkdir(parents=True)
    for module in sorted(Path(sysconfig.get_path("platstdlib"), "lib-dynload").glob("*.so")):
        if not DROPPED_EXTENSIONS.match(module.name.split(".")[0]):
            shutil.copy(module, dynload / module.name)


def place(path: Path, root: Path) -> None:
    """Copy a file of the base to the same path below *root*, with every symbolic link on the way to it."""
    done = Path("/")
    parts = list(path.parts[1:])
    while parts:
        done /= parts.pop(0)
        copy = Path(f"{root}{done}")
        if done.is_symlink():
            if not copy.is_symlink():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.symlink_to(os.readlink(done))
            target = Path(os.path.normpath(done.parent / os.readlink(done)))
            place(target.joinpath(*parts), root)
            return
        if not parts and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(done, copy)


def copy_shared_libraries(root: Path) -> None:
    """Copy the closure of the shared libraries of every ELF file below *root*, dynamic loader included."""
    found: set[Path] = set()
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            listing = subprocess.run(["ldd", path], check=False, capture_output=True, text=True).stdout
            missing = re.findall(r"^\s*(\S+) => not found", listing, re.MULTILINE)
            if missing:
                raise SystemExit(f"assemble: {path} needs {', '.join(missing)}, which the base does not have")
            found.update(Path(match) for match in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listing, re.MULTILINE))
    libc = next(path for path in found if path.name.startswith("libc.so"))
    found.update(path for name in DLOPENED if (path := libc.parent / name).exists())
    place(libc, root)
    for library in sorted(found):
        if library.is_relative_to(root):
            continue
        if library.name.startswith("libpython"):  # beside libc: found without an rpath and without ld.so.cache
            shutil.copy(library, Path(f"{root}{os.path.realpath(libc.parent)}", library.name))
        else:
            place(library, root)


def write_etc(root: Path) -> None:
    """Write the few system files that Python, OpenSSL and the resolver look for."""
    for directory in ("etc/ssl/certs", "dev", "proc", "sys", "run", "root", "github"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "root").chmod(0o700)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
    )
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copyfile(bundle, f"{root}{bundle}")
        default = Path(ssl.get_default_verify_paths().openssl_cafile)
        link = Path(f"{root}{default}")
        if default != bundle and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(bundle)


def strip(root: Path) -> None:
    """Drop debug symbols where the base has binutils; the official slim images are stripped already."""
    if shutil.which("strip"):
        for path in sorted(root.rglob("*.so*")):
            if path.is_file() and not path.is_symlink():
                subprocess.run(["strip", "--strip-unneeded", path], check=False, stderr=subprocess.DEVNULL)


def finish(root: Path) -> None:
    """Give every entry root's ownership, plain modes and one mtime."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink() and path.is_file():
            path.chmod(0o755 if os.access(path, os.X_OK) and path.suffix != ".pyc" else 0o644)
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(root, (EPOCH, EPOCH))


def make_runtime(packages: Path, root: Path) -> None:
    """The layer that changes with the base or the lock file."""
    binary = Path(f"{root}{PREFIX}/bin/python3")
    binary.parent.mkdir(parents=True)
    shutil.copy(os.path.realpath(sys.executable), binary)
    copy_stdlib(root)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    copy_tree(packages, root, PACKAGES)
    copy_shared_libraries(root)
    write_etc(root)
    strip(root)
    finish(root)


def make_app(source: Path, license_file: Path, root: Path) -> None:
    """The layer that changes with Keylease."""
    copy_tree(source, root, f"{PACKAGES}/keylease", keep_source=True)
    shutil.copy(license_file, f"{root}{PREFIX}/LICENSE")
    bin_directory = Path(f"{root}{PREFIX}/bin")
    bin_directory.mkdir(parents=True)
    for name, (module, function, arguments) in ENTRY_POINTS.items():
        entry = bin_directory / name
        call = {"module": module, "function": function, "arguments": arguments}
        entry.write_text(ENTRY_POINT.format(prefix=PREFIX, packages=PACKAGES, **call))
        entry.chmod(0o755)
    finish(root)


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect the action image's root file system.")
    commands = parser.add_subparsers(dest="command", required=True)
    runtime = commands.add_parser("runtime")
    runtime.add_argument("--packages", type=Path, required=True)
    app = commands.add_parser("app")
    app.add_argument("--source", type=Path, required=True)
    app.add_argument("--license", type=Path, required=True)
    for command in (runtime, app):
        command.add_argument("--root", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "runtime":
        make_runtime(args.packages, args.root)
    else:
        make_app(args.source, args.license, args.root)


if __name__ == "__main__":
    main()
