"""Read parameters from AWS Systems Manager's Parameter Store.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.base import Manager, check_common, paged
from keylease.model import Document, Lease, Read
from keylease.vendors.answers import Answer, one_line
from keylease.vendors.aws_errors import denied, is_denied, lister, refused, session_refused, several
from keylease.vendors.aws_json import AwsApi, Reply
from keylease.vendors.aws_names import Target, parameter_of
from keylease.vendors.aws_policy import LIST_PARAMETERS, READ_PARAMETERS
from keylease.vendors.aws_session import Place
from keylease.vendors.aws_settings import VENDOR

DOCS = "aws-reference"
EXAMPLE = "aws-ssm:///PATH/NAME, aws-ssm://NAME or aws-ssm://arn:aws:ssm:REGION:ACCOUNT:parameter/PATH/NAME"

AT_ONCE = 10
"""Names that one request takes."""

_SERVICE = "ssm"
_NOWHERE = Place("aws", "us-east-1", "0" * 12)

# A number, or a label: neither a digit nor aws or ssm in front.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-labels.html
_VERSION = re.compile(r"[1-9][0-9]{0,8}|(?!aws|ssm)[A-Za-z_.-][\w.-]{0,99}", re.ASCII | re.IGNORECASE)


class AwsParameterStore(Manager):
    """``aws-ssm:///path/name``: GetParameters, ten at a time, decrypted."""

    scheme = "aws-ssm"
    provider = "aws"
    options = ("version",)

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        self._api = AwsApi(lease, context, _SERVICE)

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        check_common(read, cls, VENDOR, EXAMPLE, DOCS, rooted=True)
        if parameter_of(read.path, _NOWHERE) is None:
            name, colon, version = read.path.rpartition(":")
            if colon and parameter_of(name, _NOWHERE) and _VERSION.fullmatch(version):
                raise _bad(read, "the version or label is an option", f"aws-ssm://{name} with version: {version}")
            what = "is no parameter's ARN" if read.path.startswith("arn:") else "is no parameter's name"
            raise _bad(read, what, f"{EXAMPLE}; names have letters, digits and . - _ /")
        if not _VERSION.fullmatch(dict(read.options).get("version", "1")):
            raise _bad(read, "`version` is no version's number and no label", "version: 3 (or: version: LABEL)")

    def grouped(self, reads: Sequence[Read]) -> list[list[Read]]:
        """See the base class. Of one region, and no parameter twice: its versions would get mixed up."""
        groups: list[tuple[str, list[Read]]] = []
        for read in reads:
            region = self._target(read).region
            for of, group in groups:
                if of == region and len(group) < AT_ONCE and all(read.path != other.path for other in group):
                    group.append(read)
                    break
            else:
                groups.append((region, [read]))
        return [group for _, group in groups]

    def read(self, read: Read) -> Document:
        """See the base class."""
        (found,) = self.read_many([read])
        if isinstance(found, KeyleaseError):
            raise found
        return found

    def read_many(self, reads: Sequence[Read]) -> list[Document | KeyleaseError]:
        """See the base class. AWS refuses all for one: then each is asked for alone."""
        targets = [self._target(read) for read in reads]
        names = [_name(read, target) for read, target in zip(reads, targets, strict=True)]
        asked = {"Names": names, "WithDecryption": True}
        reply = self._api.ask("GetParameters", asked, targets[0].region, f"reading {several(reads)}")
        if reply.answer.ok:
            found = [self._found(read, name, reply.answer) for read, name in zip(reads, names, strict=True)]
            # Under another name than it was asked for (a reference's, a shared one's), only a lone one can be told.
            alone = len(reads) == 1
            return [
                one or (self._only(reads[n], reply.answer) if alone else self.read_many([reads[n]])[0])
                for n, one in enumerate(found)
            ]
        trouble = session_refused(self._api.session, reply, several(reads))
        if trouble:
            raise trouble
        if len(reads) == 1:
            return [self._refused(reads[0], targets[0], reply)]
        return [found for read in reads for found in self.read_many([read])]

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. DescribeParameters, which tells names and no values (GetParametersByPath tells both).

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html
        """
        del deep
        if read.path.startswith("arn:"):
            raise _bad(read, "a pattern is of names; an ARN names one parameter", "aws-ssm:///PATH/*")
        start = f"{parent}/{prefix}" if parent or read.path.startswith("/") else prefix
        asked: dict[str, Any] = {"MaxResults": 50}
        if start.strip("/"):
            asked["ParameterFilters"] = [{"Key": "Name", "Option": "BeginsWith", "Values": [start]}]
        page = lister(self._api, read, "DescribeParameters", asked, "Parameters", LIST_PARAMETERS)
        return paged(page, read, VENDOR)

    def _target(self, read: Read) -> Target:
        self.check(read)
        place = self._api.session.place
        target = parameter_of(read.path, place)
        assert target is not None
        if target.partition != place.partition:
            raise _bad(read, f"is in {target.partition}, and the role in {place.partition}", "another provider")
        return target

    def _found(self, read: Read, name: str, answer: Answer) -> Document | NotFoundError | None:
        parameters, invalid = answer.at("Parameters"), answer.at("InvalidParameters")
        for found in parameters if isinstance(parameters, list) else []:
            if isinstance(found, dict) and read.path in (found.get("Name"), found.get("ARN")):
                return _document(read, found)
        return self._missing(read, answer) if isinstance(invalid, list) and name in invalid else None

    def _only(self, read: Read, answer: Answer) -> Document | UnreachableError:
        parameters = answer.at("Parameters")
        document = None
        if isinstance(parameters, list) and len(parameters) == 1 and isinstance(parameters[0], dict):
            document = _document(read, parameters[0])
        return document or UnreachableError(
            f"{VENDOR}: {read}: the answer says nothing of this parameter",
            cause="something else than AWS's Parameter Store answered",
            change="check `ssm_url` and AWS_ENDPOINT_URL_SSM; without one, report it",
            docs="garbage",
            detail=answer.detail,
        )

    def _missing(self, read: Read, answer: Answer) -> NotFoundError:
        target = self._target(read)
        version = dict(read.options).get("version")
        where = f"account {target.account or 'of AWS'}, region {target.region}"
        if version:
            show = f"get-parameter-history --name {shlex.quote(target.id)} --query 'Parameters[].[Version,Labels]'"
        else:
            last = shlex.quote(f"Key=Name,Option=Contains,Values={target.id.rpartition('/')[2]}")
            show = f"describe-parameters --parameter-filters {last} --query 'Parameters[].Name'"
        change = f"`aws ssm {show} --region {target.region}`, as somebody who may, shows what there is"
        if "/" in target.id and not target.id.startswith(("/", "arn:")):
            # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html (Name)
            change = f"aws-ssm:///{target.id}: a name with slashes begins with one; or {change}"
        return NotFoundError(
            f"{VENDOR}: {read}: there is no such parameter{f' (version {version})' if version else ''} in {where}",
            cause="a typing error (a slash in front is part of the name), or it is in another region or account"
            + (", or has no such version or label" if version else ""),
            change=change,
            docs="aws-missing",
            detail=answer.detail,
        )

    def _refused(self, read: Read, target: Target, reply: Reply) -> KeyleaseError:
        if is_denied(reply):
            return denied(self._api.session, reply, read, target, _SERVICE, READ_PARAMETERS)
        if reply.code == "InvalidKeyId":
            return RefusedError(
                f"{VENDOR}: {read}: {reply.code}: {one_line(reply.message)}",
                cause="its KMS key is disabled, scheduled for deletion, or gone",
                change="enable the key again: `aws ssm describe-parameters` shows its id",
                docs="aws-kms",
                detail=reply.answer.detail,
            )
        return refused(reply, str(read))


def _name(read: Read, target: Target) -> str:
    version = dict(read.options).get("version")
    return f"{target.id}:{version}" if version else target.id


def _document(read: Read, found: Mapping[str, Any]) -> Document | None:
    """None where it is not what was asked for."""
    text, version = found.get("Value"), one_line(str(found.get("Version", "")))
    wanted = dict(read.options).get("version", "")
    if not isinstance(text, str) or (wanted.isdigit() and version != wanted):
        return None
    return Document.of_text(str(read), text, version=version or None)


def _bad(read: Read, what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {read}: {what}", change=change, docs=DOCS)
