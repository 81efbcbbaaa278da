"""A credential in clear in a workflow."""

from keylease.audit.clear import FIRST, ClearSecret

_KEY = "AKIA" + "Q3EGVS7XJWMN5RTD"  # in two parts, or scanners of this repository report it


class WorkflowClearSecret(ClearSecret):
    """Only exact forms of vendors: a long word is no secret."""

    id = "workflow-clear-secret"
    title = "a credential in clear in a workflow"
    needs = ("file.workflow",)
    links = ("https://docs.github.com/code-security/secret-scanning/introduction/about-secret-scanning",)
    sample = ".github/workflows/ci.yml"
    bad = (
        f"""\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    env:
      AWS_ACCESS_KEY_ID: {_KEY}
    steps:
      - run: ./deploy
""",
    )
    good = (
        """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    env:
      AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE
      AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
      GITHUB_TOKEN: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
      HF_TOKEN: ${{ secrets.HF_TOKEN }}
      SHA: 3d3c42e5aac5ba805825da76410c181273ba90b1
    steps:
      - run: pytest -k sk-proj-test
""",
    )

    def instead(self) -> str:
        """A secret's place."""
        return f"{FIRST}; then lease one with Keylease, or store it as a secret\n\nNAME: ${{{{ secrets.NAME }}}}"
