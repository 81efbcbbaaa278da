"""Read secrets from AWS Secrets Manager.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import base64
import re
import shlex
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.base import Manager, check_common, paged
from keylease.model import Document, Lease, Read
from keylease.vendors.answers import Answer, one_line
from keylease.vendors.aws_errors import denied, is_denied, lister, refused, session_refused
from keylease.vendors.aws_json import AwsApi, Reply
from keylease.vendors.aws_names import Target, secret_of
from keylease.vendors.aws_policy import LIST_SECRETS, READ_SECRET
from keylease.vendors.aws_session import Place
from keylease.vendors.aws_settings import VENDOR

DOCS = "aws-reference"
EXAMPLE = "aws-sm://NAME or aws-sm://arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-XXXXXX"

_SERVICE = "secretsmanager"
_NOWHERE = Place("aws", "us-east-1", "0" * 12)


class AwsSecretsManager(Manager):
    """``aws-sm://NAME``, ``aws-sm://ARN``: one GetSecretValue a secret.

    BatchGetSecretValue is not used: a role must be allowed that for all secrets or for none.
    """

    scheme = "aws-sm"
    provider = "aws"
    options = ("version", "stage")

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        self._api = AwsApi(lease, context, _SERVICE)

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        check_common(read, cls, VENDOR, EXAMPLE, DOCS, rooted=True)
        options = dict(read.options)
        if secret_of(read.path, _NOWHERE) is None:
            what = "is no secret's ARN" if read.path.startswith("arn:") else "is no secret's name"
            raise _bad(read, what, f"{EXAMPLE}; names have letters, digits and / _ + = . @ -")
        version = options.get("version")
        if version is not None and not re.fullmatch(r"[!-~]{32,64}", version):
            raise _bad(read, "`version` is a version's id, of 32 characters at the least", "leave it out, or stage: …")
        if not re.fullmatch(r"[!-~]{1,256}", options.get("stage", "AWSCURRENT")):
            raise _bad(read, "`stage` is no staging label", "stage: AWSPREVIOUS")

    def read(self, read: Read) -> Document:
        """See the base class."""
        self.check(read)
        session = self._api.session
        target = secret_of(read.path, session.place)
        assert target is not None
        if target.partition != session.place.partition:
            raise _bad(read, f"is in {target.partition}, and the role in {session.place.partition}", "another provider")
        options = dict(read.options)
        asked = {"SecretId": target.id}
        asked |= {
            api: options[name] for name, api in (("version", "VersionId"), ("stage", "VersionStage")) if name in options
        }
        reply = self._api.ask("GetSecretValue", asked, target.region, f"reading {read}")
        if not reply.answer.ok:
            raise self._refused(read, target, reply)
        return _document(read, reply.answer)

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. ListSecrets: of the role's own account and region, those to be deleted left out.

        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
        """
        del deep
        if read.path.startswith("arn:"):
            raise _bad(read, "a pattern is of names; an ARN names one secret", "aws-sm://PATH/*")
        start = f"{parent}/{prefix}" if parent or read.path.startswith("/") else prefix
        asked: dict[str, Any] = {"MaxResults": 100, "IncludePlannedDeletion": False}
        if start.strip("/"):
            asked["Filters"] = [{"Key": "name", "Values": [start]}]  # documented: the beginning, with its case
        page = lister(self._api, read, "ListSecrets", asked, "SecretList", LIST_SECRETS)
        return paged(page, read, VENDOR)

    def _refused(self, read: Read, target: Target, reply: Reply) -> KeyleaseError:
        session = self._api.session
        trouble = session_refused(session, reply, str(read))
        if trouble:
            return trouble
        if is_denied(reply):
            return denied(session, reply, read, target, _SERVICE, READ_SECRET)
        if reply.code == "ResourceNotFoundException":
            return _missing(read, target, reply)
        if reply.code == "InvalidRequestException" and re.search("delet", reply.message, re.IGNORECASE):
            return NotFoundError(
                f"{VENDOR}: {read}: it is scheduled for deletion",
                cause="somebody deleted the secret; it can be had back until its recovery window ends",
                change=f"`aws secretsmanager restore-secret --region {target.region} --secret-id {target.id}`",
                docs="aws-missing",
                detail=reply.answer.detail,
            )
        if reply.code in ("DecryptionFailure", "DecryptionFailureException"):
            return RefusedError(
                f"{VENDOR}: {read}: {reply.code}: {one_line(reply.message)}",
                cause="its KMS key is disabled, scheduled for deletion, or gone",
                change="enable the key again: `aws secretsmanager describe-secret` shows its id",
                docs="aws-kms",
                detail=reply.answer.detail,
            )
        return refused(reply, str(read))


def _document(read: Read, answer: Answer) -> Document:
    text, data = answer.at("SecretString"), answer.at("SecretBinary")
    found: str | bytes | None = text if isinstance(text, str) else None
    if found is None and isinstance(data, str):
        try:
            found = base64.b64decode(data, validate=True)
        except ValueError:
            found = None
    if found is None:
        raise UnreachableError(
            f"{VENDOR}: {read}: the answer holds no secret",
            cause="something else than AWS's Secrets Manager answered",
            change="check `secretsmanager_url` and AWS_ENDPOINT_URL_SECRETS_MANAGER; without one, report it",
            docs="garbage",
            detail=answer.detail,
        )
    return Document.of_text(str(read), found, version=answer.text("VersionId") or None)


def _missing(read: Read, target: Target, reply: Reply) -> NotFoundError:
    options = dict(read.options)
    where = f"account {target.account}, region {target.region}"
    of_version = "secret value" in reply.message
    if of_version:
        cause = "the secret has no such version or staging label" if options else "it was made, but has no value yet"
        show = f"list-secret-version-ids --secret-id {shlex.quote(target.id)}"
    else:
        cause = "a typing error, or it lies in another account or region"
        if not target.exact and read.path.startswith("arn:"):
            cause += "; the ARN lacks the six characters at its end, without which AWS may not find it"
        # Nothing that takes the name itself would find it; this filter compares the beginning of names.
        folder = "".join(read.path.rpartition(":")[2].rpartition("/")[:2])
        show = "list-secrets --query 'SecretList[].Name'"
        show += f" --filters {shlex.quote(f'Key=name,Values={folder}')}" if folder else ""
    return NotFoundError(
        f"{VENDOR}: {read}: there is no such {'version' if of_version else 'secret'} in {where}",
        cause=cause,
        change=f"`aws secretsmanager {show} --region {target.region}`, run by somebody who may, shows what there is"
        + ("" if read.path.startswith("arn:") else "; a secret of another account or region needs its whole ARN"),
        docs="aws-missing",
        detail=reply.answer.detail,
    )


def _bad(read: Read, what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {read}: {what}", change=change, docs=DOCS)
