"""Import what the image promises, with the assembled interpreter in the assembled root, in the build stage.

Run as ``chroot ROOTFS /opt/keylease/bin/python3 -ISB - < selfcheck.py``: what the root lacks fails the build
instead of a lease.
"""

import importlib
import sys

DEPENDENCIES = (
    "requests urllib3 hvac yaml msgspec.json jwt certifi charset_normalizer idna botocore.auth"
    " cryptography.hazmat.primitives.asymmetric.rsa github github.Auth gitlab gitlab.v4.objects nacl.public"
)
STDLIB = (
    "argparse asyncio ctypes concurrent.futures datetime decimal encodings.idna hashlib hmac json logging"
    " secrets signal socket sqlite3 ssl subprocess tempfile threading zoneinfo"
)

stray = [path for path in sys.path if not path.startswith("/opt/keylease/lib/")]
if stray:
    raise SystemExit(f"selfcheck: the interpreter looks outside its own tree: {stray}")
sys.path.append("/opt/keylease/lib/packages")
modules = {name: importlib.import_module(name) for name in f"{STDLIB} {DEPENDENCIES}".split()}

if not modules["yaml"].__with_libyaml__:
    raise SystemExit("selfcheck: PyYAML has no C parser")
context = modules["ssl"].create_default_context(cafile=modules["certifi"].where())
if len(context.get_ca_certs()) < 50:
    raise SystemExit("selfcheck: certifi's bundle is missing")
# Signed as AWS's SDKs sign, without the descriptions of services that are left out.
request = importlib.import_module("botocore.awsrequest").AWSRequest("POST", "https://sts.eu-central-1.amazonaws.com/")
keys = importlib.import_module("botocore.credentials").Credentials("AKIDEXAMPLE", "secret", "token")
modules["botocore.auth"].SigV4Auth(keys, "sts", "eu-central-1").add_auth(request)
if "x-amz-security-token" not in request.headers["Authorization"]:
    raise SystemExit("selfcheck: botocore does not sign")
print(f"selfcheck: Python {sys.version.split()[0]}, {modules['ssl'].OPENSSL_VERSION}")
