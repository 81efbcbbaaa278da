"""A static credential in GitLab's CI file where the vendor takes the job's identity token."""

import re
from collections.abc import Iterator

from keylease.audit.federated import Kind, goes_elsewhere, kind_of
from keylease.audit.gitlab_files import GitlabRule, Job, Part, Pipeline
from keylease.audit.gitlab_secrets import alias_of, first_uses, handed_on, literal_of, set_in, stored
from keylease.audit.model import Confidence, Finding, Location
from keylease.audit.workflows import listed, shown

_SETS_MORE = re.compile(
    r"\beval\b|(?:^|[\s;&|])(?:source|\.)[ \t]+(?!\S*activate\b)\S|\b(?:keylease|op|doppler|infisical|teller|chamber|"
    r"aws-vault|envconsul|vault-env|sops)\b",
    re.MULTILINE,
)
"""What gives a script variables that nobody sees in it."""


class GitlabStaticKey(GitlabRule):
    """Judges where the values of the settings' variables go; what only programs read, no file tells."""

    id = "gitlab-static-key"
    title = "a static credential where the job's identity token would do"
    severity = "medium"
    why = (
        "A key that is stored as a CI/CD variable is good for whoever gets hold of it, from anywhere, until somebody "
        "rotates it. The vendor takes the job's own identity token (OIDC) instead: nothing is stored, what is handed "
        "out ends within the hour, and the vendor's log says which job it was for."
    )
    fix = (
        "Let the vendor trust the project and its environment (`keylease whoami` in the job prints how), give the job "
        "`id_tokens:`, lease the credential with Keylease, then delete the variable and the key."
    )
    links = (
        "https://docs.gitlab.com/ci/secrets/id_token_authentication/",
        "https://docs.gitlab.com/ci/cloud_services/",
    )
    bad = (
        """\
deploy:
  script:
    - aws configure set aws_access_key_id "$AWS_ACCESS_KEY_ID"
    - aws configure set aws_secret_access_key "$AWS_SECRET_ACCESS_KEY"
""",
        """\
.models:
  variables:
    OPENAI_API_KEY: $MODEL_KEY
evaluate:
  extends: .models
  script: [python evaluate.py]
""",
        """\
plan:
  script:
    - echo "$GCP_SA_KEY" > key.json && gcloud auth activate-service-account --key-file key.json
    - docker run -e VAULT_TOKEN=$VAULT_TOKEN acme/plan
""",
    )
    good = (
        """\
deploy:
  id_tokens:
    VAULT_ID_TOKEN: {aud: https://vault.example.com}
  secrets:
    OPENAI_API_KEY: {vault: prod/openai/key@kv, file: false}
    AWS_SECRET_ACCESS_KEY: {aws_secrets_manager: prod/key}
  script:
    - export VAULT_TOKEN="$(vault write -field=token auth/jwt/login role=deploy jwt=$VAULT_ID_TOKEN)"
    - ./deploy "$VAULT_TOKEN" "$OPENAI_API_KEY" "$AWS_SECRET_ACCESS_KEY" "$AWS_ROLE_ARN"
    - curl -H "X: $NPM_TOKEN" https://example.com
""",
        """\
# Not AWS, and not OpenAI: nobody there takes an identity token.
variables:
  AWS_ACCESS_KEY_ID: $R2_ACCESS_KEY_ID
  AWS_SECRET_ACCESS_KEY: minioadmin
publish:
  variables: {OPENAI_API_KEY: $PROD_KEY, OPENAI_BASE_URL: https://llm.example.com/v1}
  script:
    - ./publish "$AWS_SECRET_ACCESS_KEY" "$OPENAI_API_KEY" "$AZURE_OPENAI_API_KEY"
""",
        """\
leased:
  extends: .keylease-env
  script: ['./evaluate --key "$OPENAI_API_KEY"']
own:
  script:
    - eval "$(./login)"
    - ./evaluate --key "$OPENAI_API_KEY"
""",
    )

    def judge(self, pipeline: Pipeline) -> Iterator[Finding]:
        """One finding a job and vendor, where the credential is named."""
        # What gives the jobs variables that are not in these files.
        unsure = pipeline.unseen or any("dotenv" in _reports(job) for job in pipeline.jobs)
        for job in pipeline.judged:
            scripts = "\n".join(each.text for each in job.scripts)
            texts = {name: literal_of(job, name) or "" for name in job.variables}
            texts |= dict.fromkeys(set_in(scripts), "")
            found: dict[tuple[str, str, str], tuple[Kind, list[tuple[str, Part, Location | None, bool]]]] = {}
            every = [*_aliases(job, scripts), *_uses(job, scripts)]
            for name, source, part, location in every:
                kind = kind_of(name, source)
                # With an identity token, this is as often the configuration of workload identity, which is no secret.
                if name.startswith("GOOGLE_") and job.items("id_tokens"):
                    continue
                if kind is not None and not goes_elsewhere(kind, texts, [scripts]):
                    key = part.record.subject, str(part.path[0]), kind.provider
                    found.setdefault(key, (kind, []))[1].append(
                        (source, part, location, part.path[-2:-1] != ("variables",))
                    )
            for (_, where, _), (kind, places) in found.items():
                yield self._found(where, kind, places, unsure=unsure)

    def _found(
        self, where: str, kind: Kind, places: list[tuple[str, Part, Location | None, bool]], *, unsure: bool
    ) -> Finding:
        names = listed(sorted({shown(source) for source, *_ in places}))
        who = "every job" if where == "variables" else shown(where)
        guessed = all(in_script for *_, in_script in places)
        confidence: Confidence = kind.confidence
        if guessed:
            confidence = "low" if kind.confidence == "low" or unsure else "medium"
        return self.finding(
            places[0][1].record,
            f"{who} gets a static {kind.label} ({names}): {kind.vendor} takes the job's identity token",
            location=places[0][2],
            confidence=confidence,
            persona=kind.persona,
            change=f"lease it by a keylease.yml ({kind.docs}), then delete {names}; last, "
            f"{kind.then}\n\n{kind.keylease({'service_id': 'gitlab'})}",
            key=f"{where} {kind.provider}",
        )


def _reports(job: Job) -> set[str]:
    artifacts = job.items("artifacts").get("reports")
    return set(artifacts.items) if artifacts else set()


def _aliases(job: Job, scripts: str) -> Iterator[tuple[str, str, Part, Location | None]]:
    """Variables of the files that get the value of one that the files don't set: (name, source, where)."""
    own = set(job.items("secrets")) | set(job.items("id_tokens")) | set_in(scripts) | job.computed
    for name, part in job.variables.items():
        source = alias_of(literal_of(job, name) or "")
        if not source or source in own or (source != name and source in job.variables):
            continue
        yield name, source, part, part.location


def _uses(job: Job, scripts: str) -> Iterator[tuple[str, str, Part, Location | None]]:
    """Variables of the settings that the scripts name."""
    if not job.whole or _SETS_MORE.search(scripts):
        return
    places = first_uses(job)
    for name, source in stored(job).items():
        if name == source:
            yield name, source, *places[name]
    own = set(job.items("secrets")) | set(job.items("id_tokens")) | set_in(scripts) | job.computed
    for name, source, part, location in handed_on(job):
        if source != name and source not in own and source not in job.variables:
            yield name, source, part, location
