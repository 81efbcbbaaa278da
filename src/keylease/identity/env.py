"""Tokens that lie in a variable or a file: set by hand (Jenkins, Kubernetes, anything), CircleCI, Bitbucket, EKS."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import ClassVar

from keylease.errors import IdentityError
from keylease.identity.base import Identity
from keylease.identity.claims import MAX_TOKEN, matching, yaml_text
from keylease.identity.files import read_small
from keylease.model import IdentityToken

TOKEN = "KEYLEASE_ID_TOKEN"  # noqa: S105  # a variable's name
FILE = "KEYLEASE_ID_TOKEN_FILE"
NAMED = re.compile(r"KEYLEASE_ID_TOKEN_(?!FILE$)[A-Z0-9_]+")


class ExplicitIdentity(Identity):
    """A token handed over by name: ``KEYLEASE_ID_TOKEN``, else ``KEYLEASE_ID_TOKEN_FILE``.

    A job that has one per service puts them into ``KEYLEASE_ID_TOKEN_AWS``, ``KEYLEASE_ID_TOKEN_VAULT_FILE`` and so
    on: the one whose `aud` is wanted is taken, before those without a name. Wins over what the platform offers. A file
    is read at each use: Kubernetes replaces projected tokens well before they expire
    (https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken).
    """

    name = "explicit"
    title = "Identity"

    def detect(self) -> bool:
        """Whether one of them is set to something."""
        return bool(self.value(TOKEN) or self.value(FILE) or self._named())

    def _named(self) -> list[str]:
        return sorted(name for name in self.env if NAMED.fullmatch(name) and self.value(name))

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`."""
        named = self._named()
        several = [(name, self._text(name)) for name in named]
        found = matching(several, audience)
        if not found and several and not self.value(TOKEN) and not self.value(FILE):
            found = several
        if found:
            name, text = found[0]
            return self.checked(
                text,
                audience,
                name,
                audience_change=_other(f"{TOKEN}_NAME (here: {', '.join(named)})", audience),
                renew_change=f"have the step that sets {name} run right before this one",
            )
        if self.value(TOKEN):
            return self.checked(
                self.value(TOKEN),
                audience,
                TOKEN,
                audience_change=_other(TOKEN, audience),
                renew_change=f"have the step that sets {TOKEN} run right before this one; or name a file that is kept "
                f"fresh in {FILE}",
            )
        path = self.value(FILE)
        if not path:
            return None
        return self.checked(
            _read(self.title, FILE, path),
            audience,
            f"{FILE} ({path})",
            audience_change=_other(FILE, audience),
            renew_change=f"have {path} written anew before it expires (it is read again at each use); "
            "for a projected Kubernetes token: is the kubelet alive, and the volume mounted here?",
        )

    def _text(self, name: str) -> str:
        return _read(self.title, name, self.value(name)) if name.endswith("_FILE") else self.value(name)


class CircleCIIdentity(Identity):
    """CircleCI: every job has a token for its organisation. https://circleci.com/docs/openid-connect-tokens/"""

    name = "circleci"
    title = "CircleCI"
    meanings: ClassVar[Mapping[str, str]] = {
        "oidc.circleci.com/project-id": "the project",
        "oidc.circleci.com/org-id": "the organisation",
        "oidc.circleci.com/context-ids": "contexts the job uses",
        "oidc.circleci.com/vcs-origin": "repository",
        "oidc.circleci.com/vcs-ref": "branch or tag that runs",
        "oidc.circleci.com/ssh-rerun": "whether somebody has a shell in this job",
    }
    _variables = ("CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN")

    def detect(self) -> bool:
        """``CIRCLECI=true``."""
        return self.value("CIRCLECI") == "true"

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`."""
        if not self.detect():
            return None
        there = [(name, self.value(name)) for name in self._variables if self.value(name)]
        wanted = shlex.quote(json.dumps({"aud": audience or "AUDIENCE"}))
        get = f'export {TOKEN}="$(circleci run oidc get --claims {wanted})"'
        if not there:
            raise IdentityError(
                "CircleCI: this job has no identity token (CIRCLE_OIDC_TOKEN_V2 is not set)",
                cause="builds of forked pull requests get none; CircleCI Server before 4.4 has none, older ones only "
                "in jobs with a context",
                change="run this job for your own branches only, or give it a context:\n"
                "workflows:\n  main:\n    jobs:\n      - deploy: {context: [deploy]}",
                docs="identity-missing",
            )
        name, text = (matching(there, audience) or there)[0]
        return self.checked(
            text,
            audience,
            name,
            audience_change=f"make a token for it in the step, before keylease runs:\n{get}\n"
            "or set `audience` of the provider to the organisation's id, which CircleCI takes by default",
            renew_change=f"it lives an hour from the start of the job; make a new one:\n{get}",
        )


class BitbucketIdentity(Identity):
    """Bitbucket Pipelines: steps with ``oidc: true``.

    https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
    """

    name = "bitbucket"
    title = "Bitbucket"
    meanings: ClassVar[Mapping[str, str]] = {
        "repositoryUuid": "the repository",
        "workspaceUuid": "the workspace",
        "pipelineUuid": "the pipeline's run",
        "stepUuid": "the step",
        "branchName": "branch that runs",
        "deploymentEnvironmentUuid": "deployment environment of the step",
    }
    _variable = "BITBUCKET_STEP_OIDC_TOKEN"

    def detect(self) -> bool:
        """``BITBUCKET_BUILD_NUMBER``, which every step has."""
        return bool(self.value("BITBUCKET_BUILD_NUMBER") or self.value(self._variable))

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`."""
        if not self.detect():
            return None
        yaml = f"- step:\n    oidc:\n      audiences:\n        - {yaml_text(audience)}"
        if not self.value(self._variable):
            raise IdentityError(
                "Bitbucket: this step has no identity token (BITBUCKET_STEP_OIDC_TOKEN is not set)",
                cause="the step does not ask for one",
                change="add to the step in bitbucket-pipelines.yml:\n"
                + (yaml if audience else "- step:\n    oidc: true"),
                docs="identity-missing",
            )
        return self.checked(
            self.value(self._variable),
            audience,
            self._variable,
            audience_change=f"name it in bitbucket-pipelines.yml:\n{yaml}\n"
            "or set `audience` of the provider to the workspace's (Repository settings > OpenID Connect)",
            renew_change="it is made when the step starts: lease earlier in the step, or in a step of its own",
        )


class EksIdentity(Identity):
    """EKS: a pod's own token for AWS (IRSA), in the file of ``AWS_WEB_IDENTITY_TOKEN_FILE``.

    It is the runner's identity, not the job's: asked last, so that only a job that has no other one gets it.
    https://docs.aws.amazon.com/eks/latest/userguide/pod-configuration.html
    """

    name = "eks"
    title = "EKS"
    _variable = "AWS_WEB_IDENTITY_TOKEN_FILE"

    def detect(self) -> bool:
        """Whether the variable is set: the pod's service account has a role."""
        return bool(self.value(self._variable))

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`."""
        path = self.value(self._variable)
        if not path:
            return None
        own = f"it is the pod's own, for AWS; give the job a token of its own: {TOKEN}, or {FILE}"
        return self.checked(
            _read(self.title, self._variable, path),
            audience,
            f"{self._variable} ({path})",
            audience_change=f"{own}, made for {audience!r}\n"
            "or set the service account's annotation eks.amazonaws.com/audience to it",
            renew_change=f"have {path} mounted from the pod's own volume: the kubelet writes it anew before it expires",
        )


def _other(variable: str, audience: str) -> str:
    return (
        f"have the token in {variable} made for {audience!r}: Jenkins: the credential's Audience; "
        "Kubernetes: `audience` of the projected serviceAccountToken\n"
        "or set `audience` of the provider to what the token is for, if its role accepts that"
    )


def _read(title: str, variable: str, path: str) -> str:
    try:
        content = read_small(path, MAX_TOKEN + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:
        reason = "not a path: it has a NUL in it"
    else:
        return content.decode("ascii", "replace")
    raise IdentityError(
        f"{title}: can't read the file that {variable} names, {path!r}: {reason}",
        cause="it is not there (yet), not readable for this user, or not mounted into this container",
        change=f"name a file that holds nothing but the token: {variable}=/var/run/secrets/tokens/vault\n"
        "for a container: mount it at the same path",
        docs="identity-file",
    )
