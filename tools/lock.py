"""Make the lock files anew from pyproject.toml (needs `uv` on PATH: ``pip install uv``).

--stamp only records that the lock files belong to pyproject.toml as it is now.
"""

import subprocess
import sys
import tomllib

from lint import LOCK_STAMP, ROOT, lock_inputs

COMPILE = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
COMPILE += ["--generate-hashes", "--no-header", "--no-annotate"]


def main(arguments: list[str]) -> None:
    """Write requirements/*.lock and the stamp that `make lint` compares."""
    if arguments != ["--stamp"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        build = "\n".join(["build", *project["build-system"]["requires"]])
        for name, sources, text in (
            ("runtime", ["pyproject.toml", "--extra", "sync"], None),
            ("dev", ["pyproject.toml", "--extra", "sync", "--group", "dev"], None),
            ("build", ["-"], build),
        ):
            command = [*COMPILE, *sources, "--output-file", f"requirements/{name}.lock"]
            subprocess.run(command, cwd=ROOT, input=text, text=True, check=True)
    LOCK_STAMP.write_text(lock_inputs() + "\n", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
