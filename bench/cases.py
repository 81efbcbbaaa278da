"""What is measured (cases), and who runs it (commands)."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.layout import FLAGS, Layout
from bench.measure import BenchError
from bench.world import FORBIDDEN, Job, World
from tests.fakes.misbehaving import status

BASELINE = Path(__file__).with_name("baselines") / "hvac_script.py"
OURS, SCRIPT, HVAC, PEER = "keylease", "keylease (venv)", "hvac script", "peer"


@dataclass(frozen=True)
class Command:
    """Somebody who can do the job. argv: for a job, since some take their inputs on the command line."""

    name: str
    argv: Callable[[Job], list[str]]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """How we want to stand to the peer: ours divided by its median, at most."""

    wall: float | None = None
    peak: float | None = None


@dataclass(frozen=True)
class Case:
    """One job.

    secrets: how many must have been delivered and masked; 0: it must fail (`fails`) or does nothing at all.
    seconds: a run may take in ours, for the failing ones.
    """

    name: str
    title: str
    prepare: Callable[[World], Job]
    secrets: int = 0
    target: Target = Target()
    fails: bool = False
    seconds: float | None = None


def cases() -> list[Case]:
    """All of them, in the order they are shown."""
    return [
        _lease("lease-1", 1, 0.0, Target(wall=1.0, peak=0.7)),
        _lease("lease-20", 20, 0.0, Target(wall=0.9, peak=0.7)),
        _lease("lease-1-50ms", 1, 0.05, Target(peak=0.7)),
        _lease("lease-20-50ms", 20, 0.05, Target(wall=0.35, peak=0.7)),
        Case("no-permission", "the job has no `id-token: write`", _no_permission, fails=True, seconds=0.5),
        Case("refused-role", "the vault refuses the login (no such role)", _refused_role, fails=True, seconds=0.5),
        Case("forbidden", "the policy does not allow the secret (403)", _forbidden, fails=True, seconds=0.5),
        Case("one-503", "one 503 on the login, then all is well", _one_503, secrets=1),
    ]


def commands(layout: Layout, peer: str) -> list[Command]:
    """Ours as in the image, ours from a virtual environment, the baseline and, if given, the peer."""
    packages = {"PYTHONPATH": str(layout.packages)}
    baseline = [str(layout.python), f"-{FLAGS.lstrip('-').replace('I', '')}", str(BASELINE)]
    found = [
        Command(OURS, lambda _: layout.entry("keylease-action"), {}),
        Command(SCRIPT, _venv, {}),
        Command(HVAC, lambda _: baseline, packages),
    ]
    if peer.strip():
        argv = shlex.split(peer)
        found.append(Command(PEER, lambda _: argv, {}))
    return found


def floors(layout: Layout, peer: str) -> dict[str, list[str]]:
    """Interpreters that start and do nothing: no program on them can be faster."""
    found = {"python -ISB -c pass": [str(layout.python), FLAGS, "-c", "pass"]}
    if shlex.split(peer)[:1] == ["node"]:
        found["node -e 0"] = ["node", "-e", "0"]
    return found


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

    return Case(name, title, prepare, secrets=count, target=target)


def _no_permission(world: World) -> Job:
    return world.job(world.inputs(world.url(), world.references(1)), id_token=False)


def _refused_role(world: World) -> Job:
    return world.job({**world.inputs(world.url(), world.references(1)), "role": "nope"})


def _forbidden(world: World) -> Job:
    return world.job(world.inputs(world.url(), [f"{FORBIDDEN}/data/ci value | SECRET_00"]))


def _one_503(world: World) -> Job:
    world.faulty.fail("/v1/auth/*", status(503))
    return world.job(world.inputs(world.faulty.url, world.references(1)))
