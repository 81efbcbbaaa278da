"""The action's image itself: what is in it, what is not, and what a hostile or broken surrounding does to it."""

import contextlib
import json
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import REPOSITORY, Engine
from tests.e2e.store import locked

PYTHON = "/opt/keylease/bin/python3"
ENTRY_POINTS = ("keylease", "keylease-action", "keylease-action-post")
# Unpacked it is 68 MB: interpreter 7, standard library 9, OpenSSL 8, dependencies 10, libc and the rest 5, Keylease 5
# with bytecode, and 26 that only a sync or audit needs: cryptography 15 (signs as a GitHub App), PyNaCl with cffi 5
# (sealed boxes), PyGithub and python-gitlab 3, SQLite 2. A lease loads none of those. What comes to 71 has a dependency
# that nobody meant to add, and every job without a cached image pulls it.
MOST_BYTES = 71_000_000

# Code that would run if an earlier step could steer the interpreter: it leaves a file and ends the process with 86.
INJECTED = "import os, sys; open('/github/workspace/injected', 'w').close(); os._exit(86)\n"


def container_script(text: str) -> list[str]:
    """Arguments for PYTHON to run *text* with the image's packages, isolated as the entry points are."""
    return ["-ISB", "-c", f"import sys; sys.path.append('/opt/keylease/lib/packages')\n{text}"]


def test_holds_no_shell_no_package_manager_and_no_compiler(engine: Engine) -> None:
    names = {name.rstrip("/").rpartition("/")[2] for name in engine.image_files()}
    assert "keylease-action" in names  # the listing is one
    unwanted = {
        "sh",
        "bash",
        "dash",
        "busybox",
        "env",
        "apt",
        "apt-get",
        "dpkg",
        "pip",
        "pip3",
        "gcc",
        "cc",
        "ld",
        "make",
    }
    assert not names & unwanted
    packages = {name.split("/")[4] for name in engine.image_files() if name.startswith("opt/keylease/lib/packages/")}
    assert not packages & {"pip", "setuptools", "wheel", "_distutils_hack", "boto3"}
    assert not [name for name in engine.image_files() if "/botocore/data/" in name]


def test_holds_nothing_but_its_own_trees(engine: Engine) -> None:
    top = {name.partition("/")[0] for name in engine.image_files()} - {""}
    # What the engine itself adds to every container when it starts one comes with `export`.
    assert top <= {
        "dev",
        "etc",
        "github",
        "lib",
        "lib64",
        "opt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr",
        ".dockerenv",
    }
    executables = {Path(name).name for name in engine.image_files() if "/bin/" in name and not name.endswith("/")}
    assert executables == {"python3", *ENTRY_POINTS}


def test_is_small(engine: Engine) -> None:
    assert engine.image_bytes() < MOST_BYTES


def test_is_labelled_and_starts_by_absolute_path(engine: Engine) -> None:
    (found,) = json.loads(engine.podman("image", "inspect", engine.action_image()).log)
    assert found["Config"]["Entrypoint"] == ["/opt/keylease/bin/keylease-action"]
    assert found["Config"]["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert "User" not in found["Config"] or found["Config"]["User"] in (
        "",
        "root",
        "0",
    )  # the runner's files are root's


def test_imports_its_dependencies_from_its_own_tree(engine: Engine) -> None:
    done = engine.run(
        *container_script(
            "import keylease, hvac, requests, yaml, msgspec, jwt, ssl, certifi\n"
            "for module in (keylease, hvac, requests, yaml, msgspec, jwt, ssl):\n"
            "    assert module.__file__.startswith('/opt/keylease/lib/'), module.__file__\n"
            "assert yaml.__with_libyaml__\n"
            "assert ssl.create_default_context(cafile=certifi.where()).get_ca_certs()\n"
            "print('Keylease', keylease.__version__)"
        ),
        entrypoint=PYTHON,
    )
    assert (done.exit_code, done.log.startswith("Keylease ")) == (0, True), done.log


def test_signs_requests_without_the_descriptions_of_awss_services(engine: Engine) -> None:
    done = engine.run(
        *container_script(
            "from keylease.secret import Secret\n"
            "from keylease.vendors.aws_signing import signed\n"
            "keys = {name: Secret(name) for name in ('key_id', 'secret_key', 'session_token')}\n"
            "headers = signed('https://sts.eu-central-1.amazonaws.com/', b'', {}, service='sts',"
            " region='eu-central-1', **keys)\n"
            "print(headers['Authorization'])"
        ),
        entrypoint=PYTHON,
        options=["--read-only"],
    )
    assert (done.exit_code, done.log.startswith("AWS4-HMAC-SHA256 Credential=key_id/")) == (0, True), done.log


def test_every_module_of_keylease_is_compiled_and_imports(engine: Engine) -> None:
    source = REPOSITORY / "src/keylease"
    modules = sorted(
        ".".join(("keylease", *path.relative_to(source).with_suffix("").parts)).removesuffix(".__init__")
        for path in source.rglob("*.py")
    )
    done = engine.run(
        *container_script(
            f"import importlib, pathlib\nfor name in {modules!r}:\n"
            "    module = importlib.import_module(name)\n"
            "    assert pathlib.Path(module.__cached__).exists(), name\n"
            "print(len(sys.modules))"
        ),
        entrypoint=PYTHON,
        options=["--read-only"],
    )
    assert done.exit_code == 0, done.log


@contextlib.contextmanager
def name_server(address: str, answer: str) -> Iterator[None]:
    """A DNS server on UDP port 53 of a loopback *address* that answers every A question with *answer*."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((address, 53))
        except PermissionError:
            pytest.skip("port 53 needs root")
        server.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    question, client = server.recvfrom(512)
                except TimeoutError:
                    continue
                end = question.index(b"\0", 12) + 5  # the name, its type and class
                is_a = struct.unpack("!H", question[end - 4 : end - 2])[0] == 1
                record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(answer)
                header = question[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_a), 0, 0)
                server.sendto(header + question[12:end] + (record if is_a else b""), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def test_resolves_names_by_the_hosts_file(engine: Engine) -> None:
    script = "import socket; print(socket.gethostbyname('vault.example.com'))"
    options = ["--add-host", "vault.example.com:127.0.0.7"]
    done = engine.run(*container_script(script), entrypoint=PYTHON, options=options)
    assert (done.exit_code, done.log.strip()) == (0, "127.0.0.7")


def test_resolves_names_by_dns(engine: Engine, tmp_path: Path) -> None:
    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.77\n")
    script = "import socket; print(socket.getaddrinfo('vault.example.com', 443, type=socket.SOCK_STREAM)[0][4])"
    with name_server("127.0.0.77", "192.0.2.8"):
        options = ["--volume", f"{settings}:/etc/resolv.conf:ro"]
        done = engine.run(*container_script(script), entrypoint=PYTHON, options=options)
    assert (done.exit_code, done.log.strip()) == (0, "('192.0.2.8', 443)")


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_no_earlier_step_can_inject_code(engine: Engine, tmp_path: Path, entry_point: str) -> None:
    """Variables come from GITHUB_ENV and files from the workspace: any earlier step may write both."""
    for name in ("sitecustomize", "usercustomize", "site", "os", "sys", "json", "requests", "keylease"):
        (tmp_path / f"{name}.py").write_text(INJECTED)
    site = tmp_path / ".local/lib/python3.13/site-packages"
    site.mkdir(parents=True)
    (site / "evil.pth").write_text(INJECTED)
    (site / "usercustomize.py").write_text(INJECTED)
    (tmp_path / "openssl.cnf").write_text("openssl_conf = missing_section_makes_openssl_fail\n[other]\n")
    hostile = {
        "PYTHONPATH": "/github/workspace",
        "PYTHONHOME": "/github/workspace",
        "PYTHONUSERBASE": "/github/workspace/.local",
        "PYTHONSTARTUP": "/github/workspace/os.py",
        "PYTHONBREAKPOINT": "os._exit",
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
        "PYTHONPLATLIBDIR": "../../github/workspace",
        "OPENSSL_CONF": "/github/workspace/openssl.cnf",
        "SSLKEYLOGFILE": "/github/workspace/keys",
        "HOME": "/github/workspace",
    }
    options = ["--volume", f"{tmp_path}:/github/workspace", "--workdir", "/github/workspace"]
    entry = f"/opt/keylease/bin/{entry_point}"
    control = engine.run(
        "-c", "import json", entrypoint=PYTHON, options=options, env={"PYTHONPATH": "/github/workspace"}
    )
    assert control.exit_code == 86  # the trap works on an interpreter that isn't isolated
    (tmp_path / "injected").unlink()

    done = engine.run("--help", entrypoint=entry, options=options, env=hostile)
    assert done.exit_code != 86
    assert not (tmp_path / "injected").exists()
    assert not (tmp_path / "keys").exists()
    assert "missing_section" not in done.log


@pytest.mark.parametrize("stray", ["ENOENT", "file", "unreadable"])
def test_starts_with_a_broken_home_a_foreign_path_and_a_read_only_root(
    engine: Engine, tmp_path: Path, stray: str
) -> None:
    home = tmp_path / "home"
    if stray == "file":
        home.write_text("not a directory")
    elif stray == "unreadable":
        home.mkdir(mode=0o000)
    mount = [] if stray == "ENOENT" else ["--volume", f"{home}:/github/home"]
    done = engine.run(
        "--version",
        entrypoint="/opt/keylease/bin/keylease",
        options=["--read-only", "--cap-drop", "all", "--workdir", "/", *mount],
        env={"HOME": "/github/home", "PATH": "/nonexistent:/usr/local/sbin", "LC_ALL": "tlh_KX.ISO-8859-3"},
    )
    assert done.exit_code == 0, done.log
    assert done.log.startswith("keylease ")


def test_writes_no_bytecode_and_nothing_else_when_it_starts(engine: Engine) -> None:
    name = "keylease-e2e-diff"
    engine.podman("rm", "--force", name, check=False)
    try:
        engine.podman(
            "run", "--name", name, "--entrypoint", "/opt/keylease/bin/keylease", engine.action_image(), "--version"
        )
        changed = engine.podman("diff", name).log.split()
    finally:
        engine.podman("rm", "--force", name, check=False)
    assert not [path for path in changed if path.startswith(("/opt", "/usr", "/tmp", "/root"))]


def test_output_is_utf8_whatever_the_locale(engine: Engine) -> None:
    shebang = engine.run(
        *container_script("print(open('/opt/keylease/bin/keylease').readline().strip())"), entrypoint=PYTHON
    )
    options = shebang.log.strip().removeprefix(f"#!{PYTHON} ")
    assert options.startswith("-IS")
    done = engine.run(
        options, "-c", "import sys; print(sys.stdout.encoding, sys.flags.isolated, sys.flags.no_site)",
        entrypoint=PYTHON, env={"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert done.log.split() == ["utf-8", "1", "1"]


@pytest.mark.slow
def test_same_sources_give_the_same_layers(engine: Engine, tmp_path: Path) -> None:
    """Whoever rebuilds a release from its tag gets the layers that were published."""
    first = engine.workspace(tmp_path / "first", workflow="")
    second = tmp_path / "second"
    shutil.copytree(first, second, copy_function=shutil.copyfile)  # a checkout has other times than the first
    layers = []
    for source, options in ((first, []), (second, ["--no-cache"])):
        tag = f"localhost/keylease-e2e:{source.name}"
        with locked(engine.store.lock):
            engine.podman("build", "--quiet", *options, "--tag", tag, str(source))
            try:
                layers.append(engine.podman("image", "inspect", "--format", "{{.RootFS.Layers}}", tag).log)
            finally:
                engine.podman("rmi", tag, check=False)
    assert layers[0] == layers[1]
