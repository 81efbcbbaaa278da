"""The slow network: a proxy that adds a delay to each call, in a process of its own so that it disturbs nobody.

python -m bench.latency http://127.0.0.1:8200 0.05      prints its URL; ends when its standard input does
"""

import sys

from tests.fakes.misbehaving import Proxy


def main() -> None:
    """Serve until standard input ends: it dies with whoever started it."""
    upstream, seconds = sys.argv[1:]
    with Proxy(upstream, latency=float(seconds), record_requests=False) as proxy:
        print(proxy.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
