"""An identity token of GitLab that is good for more than one service."""

import re
from collections.abc import Iterator

from keylease.audit.gitlab_files import GitlabRule, Job, Part, Pipeline
from keylease.audit.model import Finding, Severity
from keylease.audit.workflows import shown

_COMPUTED = re.compile(r"\$\[\[|\$\w|\$\{")
_GITLAB = re.compile(
    r"(?:https?://)?(?:gitlab\.com|\$\{?CI_SERVER_(?:HOST|FQDN)\}?|\$\{?CI_SERVER_URL\}?)(?::\d+)?/?", re.IGNORECASE
)
_PERHAPS = re.compile(r"(?:https?://)?gitlab\.[\w.-]+\w(?::\d+)?/?", re.IGNORECASE)


class IdTokenAudience(GitlabRule):
    """Judges what is written; an audience that a variable or an input holds is not known."""

    id = "gitlab-id-token-audience"
    title = "an identity token for more than one service"
    severity = "medium"
    why = (
        "Whoever gets an identity token can show it to every service that takes its audience, in the job's name. With "
        "an audience of its own for each service, the token that one service (or its log) has seen opens no other one. "
        "GitLab's own address is what many trust policies are told to accept, so that one token opens all of them."
    )
    fix = "Give the job one entry of `id_tokens:` for each service, with the address of that service as `aud`."
    links = (
        "https://docs.gitlab.com/ci/yaml/#id_tokens",
        "https://docs.gitlab.com/ci/secrets/id_token_authentication/",
    )
    bad = (
        """\
deploy:
  id_tokens:
    TOKEN:
      aud: [https://vault.example.com, sts.amazonaws.com]
  script: [./deploy]
""",
        """\
.login:
  id_tokens:
    A: {}
    B: {aud: ""}
    C: {aud: "*"}
    D: {aud: https://gitlab.com}
deploy:
  extends: .login
  script: [./deploy]
""",
        """\
default:
  id_tokens:
    TOKEN: {aud: $CI_SERVER_URL}
deploy:
  script: [./deploy]
""",
    )
    good = (
        """\
.login:
  id_tokens:
    VAULT_ID_TOKEN: {aud: https://gitlab.com}
deploy:
  extends: .login
  id_tokens:
    VAULT_ID_TOKEN: {aud: https://vault.example.com}
    AWS_ID_TOKEN: {aud: [sts.amazonaws.com]}
    OTHER: {aud: $AUDIENCE}
    MORE: {aud: !reference [.elsewhere, aud]}
    NAMED: {aud: https://gitlab.com/acme}
  script: [./deploy]
""",
    )

    def judge(self, pipeline: Pipeline) -> Iterator[Finding]:
        """One finding a token, where its audience is written."""
        for job in pipeline.judged:
            for name, token in job.items("id_tokens").items():
                if found := _fault(token, job):
                    what, change, severity, confidence = found
                    written = token.items.get("aud", token)
                    yield self.finding(
                        written.record,
                        f"the identity token {shown(name)} {what}",
                        severity=severity,
                        confidence=confidence,
                        location=written.location,
                        change=f"{change}\n\nid_tokens:\n  {shown(name)}:\n    aud: https://THE_SERVICE",
                        key=f"{written.path[0]} {name}",
                    )


def _fault(token: Part, job: Job) -> tuple[str, str, Severity, str] | None:
    given = token.items.get("aud")
    if (
        given is None
        or given.value in ("", [])
        or (isinstance(given.value, list) and set(map(str, given.value)) == {""})
    ):
        if given is not None or job.whole:
            return "has no audience", "write the address of the service that it is for", "medium", "high"
        return None
    audiences = given.value if isinstance(given.value, list) else [given.value]
    texts = list(dict.fromkeys(each for each in audiences if isinstance(each, str) and each))
    if any("*" in each for each in texts):
        return "has a wildcard as its audience", "write the address of the one service", "medium", "high"
    if len(texts) > 1:
        listed = ", ".join(shown(each) for each in texts[:4]) + (" …" if len(texts) > 4 else "")
        change = "make it one token a service"
        # Two names of one service are told apart by nobody but its owner.
        return f"is good for {len(texts)} services ({listed})", change, "medium", "medium"
    for each in texts:
        if _GITLAB.fullmatch(each):
            change = "write the address of the service, and make its trust expect it"
            return f"has GitLab's own address as its audience ({shown(each)})", change, "low", "high"
        if _PERHAPS.fullmatch(each) and not _COMPUTED.search(each):
            change = "write the address of the service, and make its trust expect it"
            return f"seems to have GitLab's own address as its audience ({shown(each)})", change, "low", "medium"
    return None
