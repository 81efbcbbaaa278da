"""The story that the demo tells, scene by scene. Each ✓ is checked at the moment it is printed."""

import base64
import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import audit
from demo.runner import HostJob, host_job
from demo.screen import Screen
from keylease.errors import ExitCode
from tests.e2e.runner import StepResult
from tests.fakes.github_oidc import OIDCIssuer, github_claims
from tests.servers.openbao import SELF_POLICY, OpenBao
from tests.servers.process import wait_until
from tests.servers.valkey import Valkey

REPOSITORY = "acme/trainer"
OTHER = "acme/website"
AUDIENCE = "https://vault.acme.example"
MOUNT, ROLE, POLICY = "github", "train", "train"
CREDENTIALS = "database/creds/feature-store"

SECRETS = f"""\
secret/data/ml/mlflow token | MLFLOW_TRACKING_TOKEN ;
secret/data/ml/registry * | REGISTRY_ ;
secret/data/ml/deploy key | DEPLOY_KEY ;
{CREDENTIALS} username | VALKEY_USERNAME ;
{CREDENTIALS} password | VALKEY_PASSWORD ;
"""

WORKFLOW = """\
permissions:
  id-token: write
steps:
  - uses: keylease/keylease@v0
    with:
      url: {url}
      mount: {mount}
      role: {role}
      audience: {audience}
      secrets: |
{secrets}
"""


def _key_text() -> str:
    body = "\n".join(base64.b64encode(secrets.token_bytes(48)).decode() for _ in range(4))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"


@dataclass
class Seeds:
    """What lies in the vault. Random, so that nobody can print it by knowing it."""

    token: str = field(default_factory=lambda: f"mlf-{secrets.token_urlsafe(24)}", repr=False)
    user: str = field(default_factory=lambda: f"robot-{secrets.token_hex(4)}", repr=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    key: str = field(default_factory=_key_text, repr=False)

    def values(self) -> dict[str, str]:
        """Variable that each value ends up in → value."""
        return {
            "MLFLOW_TRACKING_TOKEN": self.token,
            "REGISTRY_USER": self.user,
            "REGISTRY_PASSWORD": self.password,
            "DEPLOY_KEY": self.key,
        }


class Story:
    """Tells it once; `tell()` starts the servers and stops them again, however it ends.

    directory: an empty one, for the runner's files.
    """

    def __init__(self, screen: Screen, directory: Path, seeds: Seeds | None = None) -> None:
        self.screen = screen
        self.directory = directory
        self.seeds = seeds or Seeds()
        self.bao = OpenBao()
        self.valkey = Valkey()
        self.issuer = OIDCIssuer(github_claims(REPOSITORY))
        self.claims: dict[str, Any] = {}

    def tell(self) -> None:
        """All scenes. Raises UntrueError when something is not as told, ServerError when a server fails."""
        with ExitStack() as stack:
            for server in (self.issuer, self.valkey, self.bao):
                stack.enter_context(server)
            self.screen.guard("a secret of the vault", *self.seeds.values().values())
            self.screen.guard("a server's admin password", self.bao.token, self.valkey.password)
            self.screen.guard("the runner's request token", self.issuer.request_token)
            self.issuer.on_token = self._minted
            self._the_place()
            job = self._job(REPOSITORY)
            step = self._the_step(job)
            accessor = self._the_identity()
            self._what_was_delivered(step)
            self._the_work(job)
            self._the_end(job, accessor)
            self._somebody_else()
            self._the_audit()

    # Scenes.

    def _the_place(self) -> None:
        screen, bao = self.screen, self.bao
        version = bao.request("GET", "sys/health", token="").json()["version"]
        screen.section("A vault, a database, and a CI platform that signs its jobs' identity")
        screen.say(f"OpenBao {version} at {bao.url}, Valkey at 127.0.0.1:{self.valkey.port},")
        screen.say(f"and an issuer at {self.issuer.url} that mints tokens as GitHub's does.")
        self._seed()
        screen.check(not self._job_tokens(), "no job has a Vault token yet")
        screen.check(self.valkey.users() == ["default"], "Valkey has one user: its admin")

    def _the_step(self, job: HostJob) -> StepResult:
        screen = self.screen
        screen.section(f"A job of {REPOSITORY} runs one step")
        indented = "\n".join(f"        {line}" for line in SECRETS.splitlines())
        shown = WORKFLOW.format(url=self.bao.url, mount=MOUNT, role=ROLE, audience=AUDIENCE, secrets=indented)
        screen.quote(shown.splitlines())
        step = job.run("main", inputs=self._inputs())
        delivered = {**step.env, **step.outputs}
        screen.guard("a delivered value", *(value for name, value in delivered.items() if name != "VAULT_ADDR"))
        screen.guard("the state for the post step", *step.state.values())
        screen.say()
        screen.say("What the job's log shows:")
        screen.quote(step.log.splitlines())
        screen.check(step.exit_code == ExitCode.OK, "the step succeeded", otherwise="see the log above")
        spoken = "\n".join(line for line in step.raw.splitlines() if not line.startswith("::add-mask::"))
        leak = screen.holds_secret(spoken)
        screen.check(leak is None, "it printed no value, only commands that mask them", otherwise=f"printed: {leak}")
        return step

    def _the_identity(self) -> str:
        screen = self.screen
        screen.section("Who the vault saw")
        shown = ("iss", "sub", "aud", "repository", "ref", "run_id", "actor")
        screen.say("Claims of the token that GitHub minted for this job:")
        screen.table((name, str(self.claims.get(name, "MISSING"))) for name in shown)
        screen.check(self.claims.get("aud") == AUDIENCE, f"its audience is the one asked for: {AUDIENCE}")
        tokens = self._job_tokens()
        screen.check(len(tokens) == 1, "OpenBao issued one token for it", otherwise=f"{len(tokens)} tokens")
        [(accessor, token)] = tokens.items()
        screen.say("What OpenBao says of that token:")
        matched = token["meta"]
        rows = [
            ("role", str(matched.get("role"))),
            ("policies", ", ".join(token["policies"])),
            ("display name", token["display_name"]),
            ("repository", str(matched.get("repository"))),
            ("lives", f"{token['ttl']} s at most, unless revoked"),
        ]
        screen.table(rows)
        matches = (matched.get("role"), matched.get("repository"), matched.get("run_id"))
        screen.check(
            matches == (ROLE, REPOSITORY, self.claims.get("run_id")),
            f"the role {ROLE!r} matched, and the token carries the repository and the run into the audit log",
        )
        return accessor

    def _what_was_delivered(self, step: StepResult) -> None:
        screen = self.screen
        screen.section("What the later steps of the job have")
        wanted = {*self.seeds.values(), "VALKEY_USERNAME", "VALKEY_PASSWORD"}
        rows = [(name, f"{self._masked(step, value)}   {len(value)} characters") for name, value in step.env.items()]
        screen.table(rows)
        got = set(step.env) - {"VAULT_ADDR", "BAO_ADDR"}
        screen.check(got == wanted, "these are the variables that were asked for", otherwise=f"got {sorted(got)}")
        wrong = [name for name, value in self.seeds.values().items() if step.env[name] != value]
        screen.check(
            not wrong, "each stored value arrived unchanged, the key with its lines", otherwise=f"not: {wrong}"
        )
        lines = [line for name in wanted for line in step.env[name].splitlines() if line.strip("- \n")]
        lines = [line for line in lines if not line.startswith("-----")]  # what stands around a key is no secret
        bare = [line for line in lines if self._masked(step, line) == line]
        screen.check(not bare, "each value, and each line within the key, is masked in the log from here on")

    def _the_work(self, job: HostJob) -> None:
        screen = self.screen
        user, password = job.env["VALKEY_USERNAME"], job.env["VALKEY_PASSWORD"]
        screen.section("The job works with its own database user")
        screen.check(user in self.valkey.users(), "Valkey's ACL LIST has a user that was made for this job")
        with self.valkey.client(user, password) as client:
            client.set("app:model", "v7")
            answer = client.get("app:model")
        screen.check(answer == "v7", f"logged in with the delivered credentials: SET app:model v7, GET → {answer}")
        live = self.bao.leases(CREDENTIALS)
        screen.check(len(live) == 1, f"OpenBao keeps one lease for it, under {CREDENTIALS}")

    def _the_end(self, job: HostJob, accessor: str) -> None:
        screen = self.screen
        user, password = job.env["VALKEY_USERNAME"], job.env["VALKEY_PASSWORD"]
        screen.section("The job ends: the post step gives everything back")
        post = job.run("post", inputs=self._inputs())
        screen.say("What the job's log shows:")
        screen.quote(post.log.splitlines())
        screen.check(post.exit_code == ExitCode.OK, "the post step succeeded", otherwise="see the log above")
        screen.check(self.bao.token_lookup(accessor) is None, "the job's Vault token is gone: its lookup fails")
        # OpenBao ends the leases of a revoked token in the background.
        wait_until(lambda: user not in self.valkey.users(), 5, "removal of the job's Valkey user")
        screen.check(not self.bao.leases(CREDENTIALS), "so is the lease")
        listed = [line for line in self.valkey.acl() if user in line]
        screen.check(not listed, "Valkey's ACL LIST no longer has the user")
        screen.check(not self.valkey.login(user, password), "and a login with its credentials is refused")

    def _somebody_else(self) -> None:
        screen = self.screen
        screen.section(f"The same step in a job of {OTHER}")
        self.issuer.claims = github_claims(OTHER)
        job = self._job(OTHER)
        step = job.run("main", inputs=self._inputs())
        screen.say("What the job's log shows:")
        screen.quote(step.log.splitlines())
        screen.check(
            step.exit_code == ExitCode.REFUSED,
            f"refused, with exit code {ExitCode.REFUSED.value}",
            otherwise=f"exit code {step.exit_code}",
        )
        told = f"repository={OTHER}" in step.log
        screen.check(told, "the error shows the claim that the role does not accept", otherwise="see the log above")
        screen.check(not step.env and not step.outputs, "no later step gets any value")
        screen.check(not self._job_tokens(), "and OpenBao issued no token")

    def _the_audit(self) -> None:
        def job(repository: str) -> HostJob:
            self.issuer.claims = github_claims(repository)
            return self._job(repository)

        audit.scene(self.screen, self.bao, MOUNT, AUDIENCE, job, (REPOSITORY, OTHER), self._inputs())
        self.screen.check(not self._job_tokens(), "no job's Vault token is left")

    # Helpers.

    def _seed(self) -> None:
        bao, seeds = self.bao, self.seeds
        for path, data in {
            "ml/mlflow": {"token": seeds.token},
            "ml/registry": {"user": seeds.user, "password": seeds.password},
            "ml/deploy": {"key": seeds.key},
        }.items():
            bao.write(f"secret/data/{path}", {"data": data})
        bao.database_valkey("database", self.valkey, "feature-store")
        allowed = "".join(
            f'path "{path}" {{ capabilities = ["read"] }}\n' for path in ("secret/data/ml/*", CREDENTIALS)
        )
        bao.policy(POLICY, SELF_POLICY + allowed)
        bao.jwt_auth(MOUNT, self.issuer.url)
        bound = {"repository": REPOSITORY, "ref": "refs/heads/main"}
        role = {
            "bound_audiences": [AUDIENCE],
            "bound_claims": bound,
            "user_claim": "repository",
            "claim_mappings": {"repository": "repository", "run_id": "run_id", "actor": "actor"},
            "token_policies": [POLICY],
        }
        bao.jwt_role(MOUNT, ROLE, role)
        self.screen.say(f"The vault's role {ROLE!r} accepts jobs with these claims only:")
        self.screen.table([*bound.items(), ("aud", AUDIENCE)])

    def _inputs(self) -> dict[str, str]:
        return {"url": self.bao.url, "mount": MOUNT, "role": ROLE, "audience": AUDIENCE, "secrets": SECRETS}

    def _job(self, repository: str) -> HostJob:
        return host_job(self.directory / repository.replace("/", "-"), self.issuer.github_env(), repository)

    def _minted(self, token: str) -> None:
        payload = token.split(".")[1]
        self.screen.guard("an identity token", token, payload, token.split(".")[2])
        self.claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    def _job_tokens(self) -> dict[str, dict[str, Any]]:
        """Accessor → token, of those that a login through the JWT mount got."""
        found = {accessor: self.bao.token_lookup(accessor) for accessor in self.bao.list("auth/token/accessors")}
        return {key: token for key, token in found.items() if token and token["path"] == f"auth/{MOUNT}/login"}

    def _masked(self, step: StepResult, text: str) -> str:
        for value in sorted(step.masks, key=len, reverse=True):
            text = text.replace(value, "***")
        return " ".join(text.split("\n")).strip()
