"""Jobs from elsewhere that may become other code, in a pipeline that has secrets."""

import re
import shlex
from collections.abc import Iterator

import msgspec

from keylease.audit.gitlab_files import Entry, GitlabRule, Pipeline, entries
from keylease.audit.gitlab_secrets import has_secrets
from keylease.audit.model import Confidence, Finding, Location, Persona, Record, Severity
from keylease.audit.workflows import shown

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_RELEASE = re.compile(r"v?\d+(?:\.\d+){0,3}(?:[.+-][\w.+-]*)?")
_BRANCHES = ("", "HEAD", "main", "master", "develop", "trunk")
_URL = re.compile(r"(?P<scheme>https?)://(?:[^/@]*@)?(?P<rest>[^?#]*)", re.IGNORECASE)
_REF = re.compile(
    r"raw\.githubusercontent\.com/[^/]+/[^/]+/(?:refs/(?:heads|tags)/)?([^/]+)/|/raw/(?:refs/(?:heads|tags)/)?([^/]+)/|@([^/]+)/"
)

Rank = tuple[Severity, Confidence, Persona]
_OWN: Rank = ("low", "high", "pedantic")
"""Of one's own GitLab, where the same people work."""


class Groups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """trusted_groups: top groups of a GitLab whose projects are as good as one's own, in lower case."""

    trusted_groups: tuple[str, ...] = ("components", "gitlab-org")


class IncludeUnpinned(GitlabRule):
    """Regular for what is fetched from anywhere and for components; pedantic for projects of one's own GitLab."""

    id = "gitlab-include-unpinned"
    title = "jobs from elsewhere that may become other code"
    severity = "medium"
    Settings = Groups
    why = (
        "What is included runs in the pipeline with all of its variables, identity tokens and secrets. A branch is "
        "whatever was pushed to it last, by anybody who may push there or took over an account that may; what lies at "
        "a URL is whatever its server sends. Nobody is told when it changes."
    )
    fix = (
        "Write a commit as `ref` or behind the `@`; give `remote:` the `integrity` of the file (GitLab 17.9 and newer)."
    )
    links = (
        "https://docs.gitlab.com/ci/yaml/#includeintegrity",
        "https://docs.gitlab.com/ci/yaml/#includeproject",
        "https://docs.gitlab.com/ci/components/#component-versions",
    )
    bad = (
        """\
include:
  - remote: https://raw.githubusercontent.com/acme/ci/main/deploy.yml
  - https://example.com/build.yml
deploy:
  id_tokens: {TOKEN: {aud: https://vault.example.com}}
  script: [./deploy]
""",
        """\
include:
  - project: acme/templates
    file: deploy.yml
  - project: acme/templates
    ref: main
    file: [a.yml, b.yml]
deploy:
  secrets: {PASSWORD: {vault: prod/db/password@kv}}
  script: [./deploy]
""",
        """\
include:
  - component: $CI_SERVER_FQDN/acme/deploy/deploy@~latest
  - component: gitlab.example.com/acme/lint/lint@main
deploy:
  script: ['./deploy "$DEPLOY_TOKEN"']
""",
    )
    good = (
        """\
include:
  - remote: https://example.com/deploy.yml
    integrity: sha256-L3/GAoKaw0Arw6hDCKeKQlV1QPEgHYxGBHsH4zG1IY8=
  - remote: https://gitlab.com/acme/ci/-/raw/787123b47f14b552955ca2786bc9542ae66fee5b/deploy.yml
  - project: acme/templates
    ref: 787123b47f14b552955ca2786bc9542ae66fee5b
    file: deploy.yml
  - project: acme/templates
    ref: v1.2.0
    file: deploy.yml
  - project: $CI_PROJECT_PATH
    file: deploy.yml
  - component: $CI_SERVER_FQDN/acme/deploy/deploy@1.2.0
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/deploy@$CI_COMMIT_SHA
  - component: gitlab.com/components/sast/sast@~latest
  - template: Jobs/SAST.gitlab-ci.yml
deploy:
  id_tokens: {TOKEN: {aud: https://vault.example.com}}
  script: [./deploy]
""",
        """\
# There is nothing to take.
include: https://example.com/build.yml
test:
  script: [make test, 'docker login -p "$CI_JOB_TOKEN"']
""",
    )

    def judge(self, pipeline: Pipeline) -> Iterator[Finding]:
        """One finding an include."""
        found = [(record, each) for record in pipeline.records for each in entries(record.facts["tree"])]
        wanted = [(record, each, of) for record, each in found if (of := self._fault(each))]
        if not wanted or not has_secrets(pipeline):
            return
        for record, entry, (what, source, change, rank) in wanted:
            yield self._found(record, entry, what, source, change, rank)

    def _found(self, record: Record, entry: Entry, what: str, source: str, change: str, rank: Rank) -> Finding:
        severity, confidence, persona = rank
        return self.finding(
            record,
            f"a pipeline with secrets includes {source}: {what}",
            severity=severity,
            confidence=confidence,
            persona=persona,
            location=Location(record.location.path, entry.line) if record.location else None,
            change=change,
            key=f"{entry.kind} {source}",
        )

    def _fault(self, entry: Entry) -> tuple[str, str, str, Rank] | None:
        if entry.kind == "remote":
            return self._of_remote(entry)
        if entry.kind == "project":
            ref = entry.given.get("ref", "")
            return self._of_ref("project", entry.text, ref if isinstance(ref, str) else "")
        if entry.kind == "component":
            where, _, version = entry.text.partition("@")
            return self._of_ref("component", where, version)
        return None

    def _of_ref(self, kind: str, where: str, ref: str) -> tuple[str, str, str, Rank] | None:
        path = where.partition("/")[2] if kind == "component" else where
        if "$" in path or "$" in ref or path.lower().partition("/")[0] in self.settings.trusted_groups:
            return None
        if _COMMIT.fullmatch(ref) or _RELEASE.fullmatch(ref):
            return None
        confidence: Confidence = "high" if ref in (*_BRANCHES, "~latest") else "medium"
        name = shown(where)
        if kind == "project":
            what = (
                f"the branch {shown(ref)} can become other code" if ref else "its default branch can become other code"
            )
            change = (
                f"pin it by commit\n\ninclude:\n  - project: {name}\n    ref: COMMIT # {shown(ref) or 'the newest'}"
            )
            return what, f"files of {name}", change, ("low", confidence, "pedantic")
        what = (
            "the newest version is taken" if ref == "~latest" else f"{shown(ref) or 'a branch'} can become other code"
        )
        change = f"name a version or a commit\n\ninclude:\n  - component: {name}@COMMIT"
        return what, name, change, ("low", confidence, "regular")

    def _of_remote(self, entry: Entry) -> tuple[str, str, str, Rank] | None:
        integrity = entry.given.get("integrity")
        url = _URL.match(entry.text)
        # Without the user and the query: there may be a password in them.
        if url is None or (isinstance(integrity, str) and integrity.startswith("sha256-")):
            return None
        host, _, path = url["rest"].partition("/")
        source = shown(f"{url['scheme'].lower()}://{url['rest']}", 120)
        refs = [next(filter(None, each)) for each in _REF.findall(url["rest"])]
        encrypted = url["scheme"].lower() == "https"
        trusted = host.lower() == "gitlab.com" and path.lower().partition("/")[0] in self.settings.trusted_groups
        if encrypted and (trusted or any(_COMMIT.fullmatch(each) for each in refs)):
            return None
        command = f"curl -fsSL {shlex.quote(source)} | openssl dgst -sha256 -binary | base64"
        change = f"add what this prints, after a look at the file: {command}\n\nintegrity: sha256-…"
        if not encrypted:
            return "whoever is on the way to it can change it", source, change, ("high", "high", "regular")
        what = "it is whatever the server sends"
        if "$" in host:
            return what, source, change, _OWN
        if any(_RELEASE.fullmatch(each) for each in refs):
            return "a tag can become other code", source, change, ("low", "high", "pedantic")
        return what, source, change, ("medium", "high", "regular")
