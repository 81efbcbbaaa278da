"""What is measured (cases), and who runs it (commands)."""

import os
import shlex
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.clouds import ACCOUNTS, KEYS, REFUSED_ROLE, REGION
from bench.layout import FLAGS, Layout
from bench.measure import BenchError
from bench.world import FORBIDDEN, Job, World
from tests.fakes.misbehaving import status
from tests.servers import seaweedfs

BASELINES = Path(__file__).with_name("baselines")
OURS, SCRIPT, HVAC, BOTO3, PEER = "keylease", "keylease (venv)", "hvac script", "boto3 script", "peer"
FILE = "keylease.yml"
FIVE = ("aws", "google", "azure", "openai", "anthropic")
FIVE_LATENCY = 0.05


@dataclass(frozen=True)
class Command:
    """Somebody who can do the job. argv: for a job, since some take their inputs on the command line."""

    name: str
    argv: Callable[[Job], list[str]]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Peers:
    """Actions to compare with, as command lines; empty if not given."""

    vault: str = ""
    aws: str = ""

    @classmethod
    def given(cls) -> "Peers":
        """By the environment."""
        return cls(os.environ.get("PEER_CMD", "").strip(), os.environ.get("PEER_AWS_CMD", "").strip())


@dataclass(frozen=True)
class Target:
    """How we want to stand: ours divided by the peer's median, at most; and by the slowest of the other commands'."""

    wall: float | None = None
    peak: float | None = None
    slowest: float | None = None


Check = Callable[[World, Job, Command], None]


@dataclass(frozen=True)
class Case:
    """One job.

    check: raises BenchError when a run did not deliver. None: it must fail.
    commands: who does it. seconds: a run may take in ours, for the failing ones.
    """

    name: str
    title: str
    prepare: Callable[[World], Job]
    commands: Callable[[Layout, Peers], list[Command]]
    check: Check | None = None
    target: Target = Target()
    seconds: float | None = None

    @property
    def fails(self) -> bool:
        """Whether it must."""
        return self.check is None


def cases() -> list[Case]:
    """All of them, in the order they are shown."""
    return [
        _lease("lease-1", 1, 0.0, Target(wall=1.0, peak=0.7)),
        _lease("lease-20", 20, 0.0, Target(wall=0.9, peak=0.7)),
        _lease("lease-1-50ms", 1, 0.05, Target(peak=0.7)),
        _lease("lease-20-50ms", 20, 0.05, Target(wall=0.35, peak=0.7)),
        Case("no-permission", "the job has no `id-token: write`", _no_permission, _for_vault, seconds=0.5),
        Case("refused-role", "the vault refuses the login (no such role)", _refused_role, _for_vault, seconds=0.5),
        Case("forbidden", "the policy does not allow the secret (403)", _forbidden, _for_vault, seconds=0.5),
        Case("one-503", "one 503 on the login, then all is well", _one_503, _for_vault, _delivered(1)),
        Case("aws", "a role of AWS, and whose it is", _aws, _for_aws, _keys, Target(wall=1.0, peak=0.6)),
        Case("aws-refused", "AWS refuses the role (no such role)", _aws_refused, _for_aws, seconds=0.5),
        Case(
            "five-50ms",
            "five providers in one step, and each alone; 50 ms added to each call",
            _five,
            _each_and_all,
            _of_file,
            Target(slowest=1.5),
        ),
    ]


def floors(layout: Layout, peers: Peers) -> dict[str, list[str]]:
    """Interpreters that start and do nothing: no program on them can be faster."""
    found = {"python -ISB -c pass": [str(layout.python), FLAGS, "-c", "pass"]}
    if "node" in [shlex.split(peer)[0] for peer in (peers.vault, peers.aws) if peer]:
        found["node -e 0"] = ["node", "-e", "0"]
    return found


def _ours(layout: Layout, name: str = OURS, **env: str) -> Command:
    """As in the image."""
    return Command(name, lambda _: layout.entry("keylease-action"), env)


def _peer(line: str, **env: str) -> list[Command]:
    argv = shlex.split(line)
    return [Command(PEER, lambda _: argv, env)] if argv else []


def _script(name: str, python: str, packages: Path) -> Command:
    """A baseline, on the same kind of bytecode as ours, and without `site` too."""
    argv = [python, f"-{FLAGS.lstrip('-').replace('I', '')}", str(BASELINES / f"{name.replace(' ', '_')}.py")]
    return Command(name, lambda _: argv, {"PYTHONPATH": str(packages)})


def _for_vault(layout: Layout, peers: Peers) -> list[Command]:
    """Ours as in the image, ours from a virtual environment, the baseline and, if given, the peer."""
    baseline = _script(HVAC, str(layout.python), layout.packages)
    return [_ours(layout), Command(SCRIPT, _venv, {}), baseline, *_peer(peers.vault)]


def _for_aws(layout: Layout, peers: Peers) -> list[Command]:
    """Ours, the baseline (boto3 is the development environment's: the image has none) and, if given, the peer."""
    # Not a part of the environment for all: with a file, ours refuses an input that it has too.
    audience = {"INPUT_AUDIENCE": seaweedfs.AUDIENCE}
    baseline = _script(BOTO3, os.path.realpath(sys.executable), Path(sysconfig.get_path("purelib")))
    return [
        _ours(layout, INPUT_CONFIG=FILE),
        replace(baseline, env={**baseline.env, **audience}),
        *_peer(peers.aws, **audience),
    ]


def _each_and_all(layout: Layout, peers: Peers) -> list[Command]:
    """Ours: five providers, and each of them."""
    del peers  # none leases from two
    return [_ours(layout, INPUT_CONFIG=FILE), *(_ours(layout, name, INPUT_CONFIG=f"{name}.yml") for name in FIVE)]


def _venv(job: Job) -> list[str]:
    """`keylease lease` as installed beside this interpreter, with flags instead of inputs."""
    program = Path(sys.executable).with_name("keylease")
    if not program.exists():
        raise BenchError(f"{program}: not installed; run `make venv`")
    env = job.env
    argv = [str(program), "lease", "--format", "github", "--url", env["INPUT_URL"], "--role", env["INPUT_ROLE"]]
    argv += ["--mount", env["INPUT_PATH"], "--audience", env["INPUT_JWTGITHUBAUDIENCE"]]
    for line in env["INPUT_SECRETS"].split(";"):
        if line.strip():
            argv += ["--secret", line.strip()]
    return argv


def _lease(name: str, count: int, latency: float, target: Target) -> Case:
    many = "1 secret" if count == 1 else f"{count} secrets"
    title = f"{many}, {latency * 1000:.0f} ms added to each call" if latency else many

    def prepare(world: World) -> Job:
        return world.job(world.inputs(world.url(latency), world.references(count)))

    return Case(name, title, prepare, _for_vault, _delivered(count), target)


def _delivered(count: int) -> Check:
    return lambda world, job, _: world.verify(job, count)


def _no_permission(world: World) -> Job:
    return world.job(world.inputs(world.url(), world.references(1)), id_token=False)


def _refused_role(world: World) -> Job:
    return world.job({**world.inputs(world.url(), world.references(1)), "role": "nope"})


def _forbidden(world: World) -> Job:
    return world.job(world.inputs(world.url(), [f"{FORBIDDEN}/data/ci value | SECRET_00"]))


def _one_503(world: World) -> Job:
    world.faulty.fail("/v1/auth/*", status(503))
    return world.job(world.inputs(world.faulty.url, world.references(1)))


def _aws(world: World, role: str = seaweedfs.ROLE) -> Job:
    inputs = {
        "aws-region": REGION,
        "role-to-assume": role,
        "sts-endpoint": world.clouds.sts(),
        "allowed-account-ids": ",".join(ACCOUNTS),
    }
    return world.cloud_job({FILE: {"aws": world.clouds.aws(role=role)}}, inputs)


def _aws_refused(world: World) -> Job:
    return _aws(world, REFUSED_ROLE)


def _keys(world: World, job: Job, _: Command) -> None:
    world.verify_credentials(job, KEYS)


def _five(world: World) -> Job:
    providers = world.clouds.providers(FIVE_LATENCY)
    return world.cloud_job({FILE: providers, **{f"{name}.yml": {name: providers[name]} for name in FIVE}}, {})


def _of_file(world: World, job: Job, command: Command) -> None:
    providers = world.clouds.providers(FIVE_LATENCY)
    chosen = providers if command.name == OURS else {command.name: providers[command.name]}
    world.verify_credentials(job, [name for provider in chosen.values() for name in provider.secrets])
