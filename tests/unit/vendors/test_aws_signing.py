"""What signs is loaded while something else is waited for, and not before it is known to be needed."""

import subprocess
import sys

from tests import environment

CODE = """
import sys, threading, time
from keylease.vendors import aws_signing
assert "botocore" not in sys.modules
aws_signing.needed_soon()
thread, = [each for each in threading.enumerate() if each.name == "keylease-import"]
assert thread.daemon, "it must not hold a process that ends"
thread.join(30)
print("botocore.auth" in sys.modules, "botocore.credentials" in sys.modules)
"""


def test_it_is_loaded_in_the_background() -> None:
    env = environment.clean_environment()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], check=False, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("True False", "")
