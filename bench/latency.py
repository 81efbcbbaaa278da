"""The slow network: a proxy that adds a delay to each call, in a process of its own so that it disturbs nobody.

python -m bench.latency http://127.0.0.1:8200 0.05      prints its URL; ends when its standard input does
python -m bench.latency http://127.0.0.1:8333 0 sts     the same before SeaweedFS's STS: see Sts
"""

import sys
from collections.abc import Mapping
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange
from tests.fakes.misbehaving import Proxy


class Sts(Proxy):
    """Says whose session it is, as AWS does, where SeaweedFS does not: in answers to AssumeRoleWithWebIdentity.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html
    """

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        form = {name: values[0] for name, values in parse_qs(exchange.request.body.decode()).items()}
        if form.get("Action") == "AssumeRoleWithWebIdentity":
            _, _, _, _, account, role = form["RoleArn"].split(":")
            name = form["RoleSessionName"]
            arn = f"arn:aws:sts::{account}:assumed-{role}/{name}"
            told = f"<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>AROA0:{name}</AssumedRoleId></AssumedRoleUser>"
            send, end = exchange.answer, b"</Credentials>"

            def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
                send(status, body.replace(end, end + told.encode()), headers)

            exchange.answer = answer  # type: ignore[method-assign]
        super().handle(exchange)


KINDS: Mapping[str, type[Proxy]] = {"": Proxy, "sts": Sts}


def main() -> None:
    """Serve until standard input ends: it dies with whoever started it."""
    upstream, seconds, *kind = sys.argv[1:]
    with KINDS["".join(kind)](upstream, latency=float(seconds), record_requests=False) as proxy:
        print(proxy.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
