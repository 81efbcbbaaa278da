"""GitLab CI: tokens that the job's `id_tokens:` puts into variables, each with the audience written there.

https://docs.gitlab.com/ci/secrets/id_token_authentication/
GitLab mints them when the job starts and fixes `aud`, so they can't be asked for: the right one must be found.
"""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from keylease.errors import IdentityError
from keylease.identity.base import Identity
from keylease.identity.claims import MAX_TOKEN, MalformedError, audiences, decode, matching, show, yaml_text
from keylease.identity.files import read_small
from keylease.model import IdentityToken

KNOWN = ("ID_TOKEN", "VAULT_ID_TOKEN", "BAO_ID_TOKEN", "OPENBAO_ID_TOKEN", "GITLAB_OIDC_TOKEN")
"""Names that GitLab's documentation and its components use; looked at before the patterns."""

_PATTERN = re.compile(r"[A-Za-z_]\w*_(?:ID|OIDC|JWT)_TOKEN|\w*JWT\w*")
_REMOVED = ("CI_JOB_JWT", "CI_JOB_JWT_V1", "CI_JOB_JWT_V2")
_LISTED = 10


class GitLabIdentity(Identity):
    """A job of GitLab CI."""

    name = "gitlab"
    title = "GitLab"
    meanings: ClassVar[Mapping[str, str]] = {
        "namespace_id": "the group's number",
        "namespace_path": "the group: can be renamed",
        "project_id": "the project's number: survives renames",
        "project_path": "the project: can be renamed",
        "user_login": "who started the pipeline",
        "user_access_level": "the starter's role in the project",
        "pipeline_id": "the pipeline",
        "pipeline_source": "what started the pipeline",
        "job_id": "the job",
        "ref": "branch or tag that runs",
        "ref_type": "branch or tag",
        "ref_path": "the full ref; refs/merge-requests/… in merge request pipelines",
        "ref_protected": "whether the branch or tag is protected",
        "environment": "deployment environment of the job",
        "environment_protected": "whether that environment is protected",
        "deployment_tier": "the environment's tier",
        "ci_config_ref_uri": "file and ref of the pipeline's configuration",
        "runner_environment": "gitlab-hosted or self-hosted",
    }

    def detect(self) -> bool:
        """``GITLAB_CI=true``."""
        return self.value("GITLAB_CI") == "true"

    def token(self, audience: str) -> IdentityToken | None:
        """The token whose `aud` holds `audience`. See :meth:`Identity.token`.

        Looks at the configured variables, then at known names, then at names like ``*_ID_TOKEN``.
        """
        if not self.detect():
            return None
        candidates = [(name, self._content(name)) for name in self._names() if self.value(name)]
        found = matching(candidates, audience)
        if not found:
            raise self._none(candidates, audience)
        errors = []
        for name, text in found:
            try:
                return self.checked(text, audience, name, renew_change=self._yaml(audience, name))
            except IdentityError as error:
                errors.append(error)
        raise errors[0]

    def _names(self) -> Iterator[str]:
        seen = set(_REMOVED)
        ordered = [*self.variables, *KNOWN, *sorted(name for name in self.env if _PATTERN.fullmatch(name))]
        for name in ordered:
            if name not in seen:
                seen.add(name)
                yield name

    def _content(self, name: str) -> str:
        """A variable's value; of a variable of type File, which holds a path, the file's content."""
        value = self.value(name)
        if not value.startswith("/"):  # no JWT does
            return value
        try:
            return read_small(value, MAX_TOKEN + 1).decode("ascii", "replace").strip()
        except OSError:
            return value

    def _none(self, candidates: list[tuple[str, str]], audience: str) -> IdentityError:
        rows, claims, malformed = [], None, None
        for name, text in candidates:
            try:
                decoded = decode(text)
            except MalformedError as error:
                malformed = malformed or (name, text)
                # A pattern's chance hit (JWT_ISSUER=…) is no news.
                if name in self.variables or name in KNOWN:
                    rows.append(f"{name}: not a token ({error})")
                continue
            claims = claims or decoded
            rows.append(f"{name}: aud {' and '.join(map(show, audiences(decoded))) or 'missing'}")
        rows += [f"{name}: not set" for name in self.variables if not self.value(name)]
        if claims is None and malformed and malformed[0] in (*self.variables, *KNOWN):
            self.checked(malformed[1], audience, malformed[0], renew_change=self._yaml(audience, malformed[0]))
        if any(self.value(name) for name in _REMOVED):
            rows.append("CI_JOB_JWT…: not used; GitLab removed it in 17.0, and everybody's role accepts its audience")
        listed = "\n".join(rows[:_LISTED]) + (f"\n… and {len(rows) - _LISTED} more" if len(rows) > _LISTED else "")
        if claims is None:
            return IdentityError(
                "GitLab: this job has no identity token",
                cause=listed or "it has no `id_tokens:`",
                change=self._yaml(audience, "VAULT_ID_TOKEN"),
                docs="gitlab-id-tokens",
            )
        return IdentityError(
            f"GitLab: none of the job's identity tokens is for audience {show(audience)}",
            cause=listed,
            change=self._yaml(audience, "VAULT_ID_TOKEN")
            + "\nor set `audience` of the provider to one of those above, if its role accepts that one",
            claims={"iss": claims.get("iss"), "sub": claims.get("sub")},
            docs="gitlab-id-tokens",
        )

    def _yaml(self, audience: str, variable: str) -> str:
        job = yaml_text(self.value("CI_JOB_NAME") or "job")
        return (
            f"add to .gitlab-ci.yml (GitLab mints the token when the job starts):\n"
            f"{job}:\n  id_tokens:\n    {variable}:\n      aud: {yaml_text(audience or 'https://vault.example.com')}"
        )
