"""A secret that a script of GitLab CI prints."""

from collections.abc import Iterator, Mapping

from keylease.audit.gitlab_files import GitlabRule, Part, Pipeline, Script
from keylease.audit.gitlab_secrets import used_in, values
from keylease.audit.model import Confidence, Finding, Location, Persona, Severity
from keylease.audit.scripts import Printed, listed, printed, traced
from keylease.audit.workflows import shown

_TRACE = "CI_DEBUG_TRACE"


class GitlabSecretPrinted(GitlabRule):
    """Regular where the log gets what no mask knows; pedantic where a mask, if there is one, puts stars."""

    id = "gitlab-secret-printed"
    title = "a secret printed into the log"
    severity = "low"
    confidence = "low"
    persona = "pedantic"
    why = (
        "GitLab puts stars in place of a masked variable's exact value, and masks none that nobody marked as masked. A "
        "part of it, or its base64, stands in the log as it is, for everybody who may see the pipeline. With "
        "`CI_DEBUG_TRACE` the log has every variable of the job."
    )
    fix = "Don't print it. To see whether it is set, print whether it is empty."
    links = (
        "https://docs.gitlab.com/ci/variables/#mask-a-cicd-variable",
        "https://docs.gitlab.com/ci/variables/variables_troubleshooting/#enable-debug-logging",
    )
    bad = (
        """\
debug:
  script:
    - echo "$DEPLOY_TOKEN" | base64
""",
        """\
.login:
  id_tokens: {ID_TOKEN: {aud: https://vault.example.com}}
  secrets:
    PASSWORD: {vault: prod/db/password@kv, file: false}
debug:
  extends: .login
  script:
    - make
    - |
      printf '%s' "${PASSWORD:0:4}"
      echo "$ID_TOKEN" | rev
""",
        """\
debug:
  variables: {KEY: $PROD_API_KEY}
  script:
    - set -x
    - ./login "$KEY"
    - env | sort
""",
        """\
variables:
  CI_DEBUG_TRACE: "true"
build:
  script: [make]
""",
    )
    good = (
        """\
variables:
  TEST_PASSWORD: postgres
  CI_DEBUG_TRACE: "false"
login:
  secrets:
    PASSWORD: {vault: prod/db/password@kv}
  script:
    - echo "$DEPLOY_TOKEN" | docker login --username ci --password-stdin
    - echo "$DEPLOY_KEY" | base64 -d > key.json
    - echo "$CI_JOB_TOKEN $TEST_PASSWORD $PASSWORD" | base64
    - echo "set ${DEPLOY_TOKEN:+yes}, ${#DEPLOY_TOKEN} signs" '$DEPLOY_TOKEN'
    - encoded=$(echo -n "$DEPLOY_TOKEN" | base64 -w0)
    - env | grep ^CI_COMMIT
    - env > build.env
    - env FOO=1 make
    - export NEXT_TOKEN=$(./next); echo "$NEXT_TOKEN"
""",
    )

    def judge(self, pipeline: Pipeline) -> Iterator[Finding]:
        """One finding a command and way."""
        for job in pipeline.judged:
            trace = job.variables.get(_TRACE)
            if trace is not None and (trace.items.get("value") or trace).text.lower() in ("true", "1"):
                yield self._traced(trace)
            secret = values(job)
            for script in job.scripts if secret else ():
                yield from self._of(script, secret)

    def _traced(self, trace: Part) -> Finding:
        return self.finding(
            trace.record,
            f"{_TRACE} prints all variables into the log, secrets with them",
            severity="medium",
            confidence="high",
            persona="regular",
            location=trace.location,
            change=f'remove it; what the jobs had must be rotated if it ever ran\n\nvariables:\n  {_TRACE}: "false"',
            key=f"{_TRACE} {trace.path[0]}",
        )

    def _of(self, script: Script, secret: Mapping[str, str]) -> Iterator[Finding]:
        found = list(printed(script.text, secret))
        line = traced(script.text)
        if line >= 0 and not used_in(script.text).isdisjoint(secret):
            found.append(Printed("set -x", "", line))
        line = listed(script.text)
        if line >= 0:
            found.append(Printed("env", "", line))
        for each in found:
            part, location = script.at(each.line)
            yield self._found(part, location, each, secret)

    def _found(self, part: Part, location: Location | None, each: Printed, secret: Mapping[str, str]) -> Finding:
        name = shown(each.variable)
        given = secret.get(each.variable, "")
        rank: tuple[Severity, Confidence, Persona] = ("low", "low", "pedantic")
        if each.how == "set -x":
            message = "traces its commands (set -x), secrets in their arguments with them"
            change = "remove set -x, or turn it off around the commands that take a secret\n\n{ set +x; } 2>/dev/null"
        elif each.how == "env":
            message = "prints all variables: those that are not masked stand in the log"
            change = 'print those that are wanted by their names\n\necho "$CI_COMMIT_SHA"'
        elif each.how:
            known = given in ("id_tokens", "secrets") and each.sure
            rank = ("medium", "high" if known else "medium", "regular")
            message = f"prints {name} in a form that is not masked ({each.how})"
            change = "remove it; the secret must be rotated if it ever ran"
        else:
            message = f"prints {name}: only a mask, if it is masked, keeps it out of the log"
            change = f'print whether it is set\n\necho "${{{name}:+set}}"'
        return self.finding(
            part.record,
            f"{shown(part.path[0])} {message}",
            severity=rank[0],
            confidence=rank[1],
            persona=rank[2],
            location=location,
            change=change,
            key=f"{'.'.join(map(str, part.path[:2]))} {each.variable} {each.how}",
        )
