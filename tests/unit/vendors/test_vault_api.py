"""hvac's parts, imported by several threads at once."""

import subprocess
import sys

SCRIPT = """
import sys, threading
from keylease.vendors.vault_api import hvac_part
sys.setswitchinterval(1e-6)
barrier, failures = threading.Barrier(4), []
def part():
    barrier.wait()
    try:
        hvac_part("hvac.api.auth_methods.token", "Token")
    except Exception as error:
        failures.append(repr(error))
threads = [threading.Thread(target=part) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit("; ".join(failures) or 0)
"""


def test_no_thread_gets_a_module_that_another_is_just_importing() -> None:
    # Without the fix, most rounds fail: two leases that are revoked side by side, one of them left alive.
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
