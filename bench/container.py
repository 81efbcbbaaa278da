"""What a container adds: the step as the runner starts it, `podman run` of the image, on the tests' engine."""

import time
from pathlib import Path

from bench.measure import BenchError, Spread
from bench.world import World
from tests.e2e.engine import Engine
from tests.e2e.store import NoEngineError

PYTHON = "/opt/keylease/bin/python3"


def measure(world: World, runs: int) -> dict[str, Spread]:
    """Wall seconds of a container that does nothing, and of one that leases one secret.

    Builds the image first if it is not there. Raises BenchError where no container can run.
    """
    try:
        with Engine() as engine:
            job = engine.runner_job(Path(world.directory) / "container", env=world.issuer.github_env())
            inputs = world.inputs(world.url(), world.references(1))
            nothing, lease = [], []
            for turn in range(runs + 1):
                started = time.perf_counter()
                engine.run("-ISB", "-c", "pass", entrypoint=PYTHON, check=True)
                middle = time.perf_counter()
                step = job.run("main", inputs=inputs)
                ended = time.perf_counter()
                if step.exit_code or step.env.get("SECRET_00") != world.values["SECRET_00"]:
                    raise BenchError(f"the container delivered nothing; exit code {step.exit_code}\n{step.log}")
                if turn:  # the first one warms up
                    nothing.append(middle - started)
                    lease.append(ended - middle)
    except NoEngineError as error:
        raise BenchError(f"no container engine: {error}") from None
    return {"nothing done": Spread.of(nothing), "lease of 1 secret": Spread.of(lease)}
