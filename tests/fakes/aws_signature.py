"""What AWS does before a service sees a request: Signature Version 4, the session's token, its end, IAM's policies.

It stands before the server of moto, which verifies none of that, and shares no code with botocore, which signs. Written
after https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html and, for the answers,
https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html and
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.

    with AwsFront(moto.url) as front:
        front.admit(Admitted("ASIA…", "secret", "token", "arn:aws:sts::123456789012:assumed-role/ci/x"))
        front.policies.append({"Statement": [{"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:…"}]})

What it can't show: conditions of policies, resources' own policies, other accounts, and AWS's words for a signature of
another region. KMS refuses what a test names in `no_key`.
"""

import datetime as dt
import hashlib
import hmac
import json
import re
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from tests.fakes.loopback import Exchange, Received
from tests.fakes.misbehaving import Proxy

ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/(\d{{8}})/([a-z0-9-]+)/([a-z]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_WINDOW = 300


@dataclass(frozen=True)
class Admitted:
    """A session that is known. role: ARN of the assumed role. expires_at: Unix time."""

    key_id: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    role: str
    expires_at: float = 2.0**40

    @property
    def account(self) -> str:
        """Its account."""
        return self.role.split(":")[4]


@dataclass(frozen=True)
class Refusal:
    """How AWS words a no."""

    code: str
    message: str
    status: int = 400


def signature(request: Received, signed: list[str], scope: str, secret_key: str) -> str:
    """The signature that `request` must have."""
    target, _, query = request.target.partition("?")
    headers = "".join(f"{name}:{' '.join(request.header(name).split())}\n" for name in signed)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, target, query, headers, ";".join(signed), body])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([ALGORITHM, request.header("X-Amz-Date"), scope, digest])
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


class AwsFront(Proxy):
    """Verifies, asks its `policies`, forwards to moto.

    no_key: names of secrets and parameters whose KMS key the role may not use. words: replaces the end of an
    access-denied message. clock: seconds that AWS's clock is ahead of ours. refused: the codes it answered.
    AssumeRoleWithWebIdentity is forwarded as it is, and admits the session that moto makes.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.policies: list[Mapping[str, Any]] = []
        self.no_key: set[str] = set()
        self.words = "because no identity-based policy allows the {action} action"
        self.clock = 0.0
        self.refused: list[str] = []
        self._sessions: dict[str, Admitted] = {}

    def admit(self, session: Admitted) -> None:
        """Know this session from now on."""
        self._sessions[session.key_id] = session

    def admitted(self, key_id: str) -> Admitted:
        """The session that has this key."""
        return self._sessions[key_id]

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        if b"Action=AssumeRoleWithWebIdentity" in request.body:
            self._assume(exchange)
            return
        refusal = self._verify(request) or self._authorize(request)
        if refusal is None:
            super().handle(exchange)
            return
        self.refused.append(refusal.code)
        exchange.answer(
            refusal.status,
            json.dumps({"__type": refusal.code, "message": refusal.message}).encode(),
            {
                "Content-Type": "application/x-amz-json-1.1",
                "x-amzn-RequestId": "9f8e7d6c-0000-4111-8222-333344445555",
                "Date": dt.datetime.fromtimestamp(self._now(), dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
            },
        )

    def _now(self) -> float:
        return time.time() + self.clock

    def _verify(self, request: Received) -> Refusal | None:
        found = _AUTHORIZATION.fullmatch(request.header("Authorization"))
        if not found:
            return Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        key_id, day, region, service, names, given = found.groups()
        session = self._sessions.get(key_id)
        if not session or not hmac.compare_digest(session.session_token, request.header("X-Amz-Security-Token")):
            return Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        moment = request.header("X-Amz-Date")
        late = self._late(moment)
        if late:
            return late
        signed = names.split(";")
        must = {"host", *(name.lower() for name in request.headers if name.lower().startswith("x-amz-"))}
        target = request.header("X-Amz-Target").partition(".")[0]
        scoped = moment.startswith(day) and service == {"AmazonSSM": "ssm"}.get(target, target)
        scope = f"{day}/{region}/{service}/aws4_request"
        wanted = signature(request, signed, scope, session.secret_key)
        if not scoped or not must <= set(signed) or signed != sorted(signed) or not hmac.compare_digest(wanted, given):
            return Refusal(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details.",
            )
        if session.expires_at <= self._now():
            return Refusal("ExpiredTokenException", "The security token included in the request is expired")
        return None

    def _late(self, moment: str) -> Refusal | None:
        form = "%Y%m%dT%H%M%SZ"
        try:
            then = dt.datetime.strptime(moment, form).replace(tzinfo=dt.UTC).timestamp()
        except ValueError:
            return Refusal("InvalidSignatureException", "Date must be in ISO-8601 'basic format'.")

        def at(unix: float) -> str:
            return dt.datetime.fromtimestamp(unix, dt.UTC).strftime(form)

        now = self._now()
        if then < now - _WINDOW:
            text = f"Signature expired: {moment} is now earlier than {at(now - _WINDOW)} ({at(now)} - 5 min.)"
            return Refusal("InvalidSignatureException", text)
        if then > now + _WINDOW:
            text = f"Signature not yet current: {moment} is still later than {at(now + _WINDOW)} ({at(now)} + 5 min.)"
            return Refusal("InvalidSignatureException", text)
        return None

    def _authorize(self, request: Received) -> Refusal | None:
        found = _AUTHORIZATION.fullmatch(request.header("Authorization"))
        assert found
        session, region = self._sessions[found[1]], found[3]
        prefix, _, operation = request.header("X-Amz-Target").partition(".")
        action = f"{ {'AmazonSSM': 'ssm'}.get(prefix, prefix) }:{operation}"
        asked = request.json()
        if action == "secretsmanager:GetSecretValue":
            things = {asked["SecretId"]: self._secret_arn(request, asked["SecretId"], region, session)}
        elif action == "ssm:GetParameters":
            things = {name: _parameter_arn(name, region, session.account) for name in asked["Names"]}
        else:
            things = {"*": "*"}
        for arn in things.values():
            # What is not there has no ARN to match: a pattern that the name would have matched will do.
            if not self._allowed(action, arn if arn.startswith("arn:") else self._would_be(arn, region, session)):
                words = self.words.format(action=action)
                text = f"User: {session.role} is not authorized to perform: {action} on resource: {arn} {words}"
                return Refusal("AccessDeniedException", text)
        if self.no_key & {name.partition(":")[0] for name in things}:
            return Refusal("AccessDeniedException", _NO_KEY[action])
        return None

    def _allowed(self, action: str, arn: str) -> bool:
        for policy in self.policies:
            for statement in policy["Statement"]:
                resources = statement["Resource"]
                listed = [resources] if isinstance(resources, str) else resources
                about = statement["Effect"] == "Allow" and statement["Action"] == action
                if about and any(_matches(pattern, arn) for pattern in listed):
                    return True
        return False

    def _would_be(self, name: str, region: str, session: Admitted) -> str:
        return f"arn:aws:secretsmanager:{region}:{session.account}:secret:{name}-AbCdEf"

    def _secret_arn(self, request: Received, name: str, region: str, session: Admitted) -> str:
        """Its whole ARN, as moto has it; the name where there is none."""
        asking = urllib.request.Request(
            self.upstream,
            json.dumps({"SecretId": name}).encode(),
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "secretsmanager.DescribeSecret",
                "Authorization": request.header("Authorization"),
            },
        )
        try:
            with urllib.request.urlopen(asking, timeout=10) as answer:
                return str(json.load(answer)["ARN"])
        except OSError:
            return name

    def _assume(self, exchange: Exchange) -> None:
        request = urllib.request.Request(
            self.upstream, exchange.request.body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        leaves = {each.tag.rpartition("}")[2]: each.text or "" for each in ET.fromstring(body).iter()}
        self.admit(Admitted(leaves["AccessKeyId"], leaves["SecretAccessKey"], leaves["SessionToken"], leaves["Arn"]))
        exchange.answer(200, body, {"Content-Type": "text/xml"})


_NO_KEY = {
    "secretsmanager:GetSecretValue": "Access to KMS is not allowed",
    "ssm:GetParameters": "The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed to access. (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException; "
    "Request ID: 5f642215-959a-11e8-bfd1-81a81941d54a; Proxy: null)",
}


def _parameter_arn(name: str, region: str, account: str) -> str:
    if not name.startswith("arn:"):
        owner = "" if name.startswith("/aws/service/") else account
        name = f"arn:aws:ssm:{region}:{owner}:parameter/{name.removeprefix('/')}"
    return ":".join(name.split(":")[:6])  # without version or label


def _matches(pattern: str, arn: str) -> bool:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html: * and ? only."""
    regular = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(regular, arn) is not None
