"""What is left out while requests and hvac are imported is left out, and is there for whoever needs it."""

import subprocess
import sys

import pytest

from tests import environment

REQUESTS = "import keylease.http, requests"
HVAC = f"{REQUESTS}\nfrom keylease.vendors.vault_api import hvac_part\nhvac_part('hvac.api.auth_methods.jwt', 'JWT')"


def python(code: str) -> str:
    """What a fresh interpreter prints. Its warnings are errors, as ours are."""
    command = [sys.executable, "-W", "error", "-c", f"import sys\n{code}"]
    done = subprocess.run(
        command, check=False, env=environment.clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["charset_normalizer", "zipfile", "idna", "dataclasses", "typing_extensions"])
def test_is_not_loaded_by_requests(name: str) -> None:
    assert python(f"{REQUESTS}\nprint({name!r} in sys.modules)") == "False"


def test_is_not_loaded_by_hvac() -> None:
    # What Python's own modules bring along differs from version to version; ours add nothing to that.
    code = f"{REQUESTS}\nbefore = 'inspect' in sys.modules\n{HVAC}\nprint(before == ('inspect' in sys.modules))"
    assert python(code) == "True"


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(requests.utils.zipfile.is_zipfile('/dev/null'))", "False"),
        ("import zipfile, types; print(type(zipfile) is types.ModuleType)", "True"),
        (
            "p = requests.Request('GET', 'http://b\\u00fccher.example/').prepare(); print(p.url)",
            "http://xn--bcher-kva.example/",
        ),
        ("import charset_normalizer; print(charset_normalizer.from_bytes(b'x').best() is not None)", "True"),
        ("import typing_extensions; print(typing_extensions.TypedDict.__name__)", "TypedDict"),
        ("import hvac; print(hvac.Client.__name__)", "Client"),
        ("u = sys.modules['hvac.utils']; print(u.inspect.getmodule(u.raise_for_error).__name__)", "hvac.utils"),
    ],
)
def test_is_there_when_it_is_used(code: str, printed: str) -> None:
    assert python(f"{HVAC}\n{code}") == printed


def test_other_threads_can_use_what_is_left_out_meanwhile() -> None:
    """A provider that imports hvac beside one whose libraries make dataclasses, which look into `inspect`."""
    code = (
        "import threading\nfrom keylease.lean import later\nfound = []\n"
        "def other():\n    import colorsys\n    found.append(colorsys.rgb_to_hls(1, 1, 1))\n"
        "with later('colorsys'):\n    t = threading.Thread(target=other)\n    t.start()\n    t.join()\n"
        "import colorsys, types\nprint(found, type(colorsys) is types.ModuleType)"
    )
    assert python(code) == "[(0.0, 1.0, 0.0)] True"
