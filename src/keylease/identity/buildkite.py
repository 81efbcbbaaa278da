"""Buildkite: the agent's own command mints a token. https://buildkite.com/docs/agent/v3/cli-oidc"""

import os
import shlex
import shutil
from collections.abc import Mapping
from typing import ClassVar

from keylease.errors import IdentityError, UnreachableError
from keylease.identity.base import Identity
from keylease.model import IdentityToken

COMMAND = "buildkite-agent"
TIMEOUT = 60.0
"""Seconds. The agent itself tries five times within about 30 s, and gives up at once when it is refused."""


class BuildkiteIdentity(Identity):
    """A job of Buildkite."""

    name = "buildkite"
    title = "Buildkite"
    fetches = True
    meanings: ClassVar[Mapping[str, str]] = {
        "organization_slug": "the organisation: can be renamed",
        "organization_id": "the organisation",
        "pipeline_slug": "the pipeline: can be renamed",
        "pipeline_id": "the pipeline",
        "build_number": "the build",
        "build_branch": "branch that runs",
        "build_tag": "tag that runs",
        "build_commit": "commit that runs",
        "build_source": "what started the build",
        "step_key": "the step",
        "job_id": "the job",
        "agent_id": "the agent",
        "cluster_id": "the cluster",
        "queue_id": "the queue",
    }

    def detect(self) -> bool:
        """``BUILDKITE=true``."""
        return self.value("BUILDKITE") == "true"

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`. The command line holds the audience only; the agent's token is inherited."""
        if not self.detect():
            return None
        if self.value("BUILDKITE_AGENT_ACCESS_TOKEN"):
            self.context.seal(self.value("BUILDKITE_AGENT_ACCESS_TOKEN"), "BUILDKITE_AGENT_ACCESS_TOKEN")
        return self.checked(self._run(self._find(), audience), audience, f"{COMMAND} oidc request-token")

    def _find(self) -> str:
        # Absolute directories only: an empty or relative entry of PATH would run what lies in the checkout.
        own = self.value("BUILDKITE_BIN_PATH")
        places = [own, *self.env.get("PATH", "").split(os.pathsep)]
        path = os.pathsep.join(place for place in places if os.path.isabs(place))
        found = shutil.which(COMMAND, path=path) if path else None
        if found:
            return found
        raise IdentityError(
            f"Buildkite: can't find the command {COMMAND}, which makes the identity token",
            cause="this step runs in a container that the agent is not mounted into",
            change="with the docker plugin: `mount-buildkite-agent: true` and `propagate-environment: true`;\n"
            "or make the token outside and hand it in:\n"
            'export KEYLEASE_ID_TOKEN="$(buildkite-agent oidc request-token --audience AUDIENCE)"',
            docs="identity-missing",
        )

    def _run(self, command: str, audience: str) -> str:
        import subprocess

        argv = [command, "oidc", "request-token", *([f"--audience={audience}"] if audience else [])]
        timeout = min(TIMEOUT, self.context.deadline.remaining)
        try:
            done = subprocess.run(
                argv, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            reason = ""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise IdentityError(
                f"Buildkite: can't start {command}: {reason}",
                cause="it is not executable here, or made for another machine",
                change=f"make sure that `{COMMAND} --version` works in this step",
                docs="identity-missing",
            ) from None
        else:
            if done.returncode == 0:
                return done.stdout.decode("ascii", "replace")
            # Its own messages are not shown: at debug level the agent prints what it received.
            raise IdentityError(
                f"Buildkite: `{COMMAND} oidc request-token` failed (exit status {done.returncode})",
                cause="the agent is too old to know `oidc`, its access token is not in this step's environment, or "
                "Buildkite refused the audience",
                change="see what it says, in the same step:\n"
                f"{COMMAND} oidc request-token --audience {shlex.quote(audience or 'AUDIENCE')} >/dev/null",
                docs="identity-endpoint",
                detail={"exit status": done.returncode},
            )
        # Outside the handler: the exception carries what the command has printed so far.
        raise UnreachableError(
            f"Buildkite: `{COMMAND} oidc request-token` did not end within {timeout:.0f} s",
            cause="Buildkite's API can't be reached from this agent, or is slow",
            change="check the agent's connection (`buildkite-agent start` log), and Buildkite's status page",
            docs="identity-endpoint",
        )
