"""A repository of any number of workflows, as people write them, with known faults."""

from collections import Counter
from pathlib import Path

CHECKOUT = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8  # v5.0.0"
PYTHON = "actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c  # v6.0.0"

_TEXT = """\
name: model {index}
on:
  push:
    branches: [main]
  pull_request:
permissions:
  contents: read
concurrency:
  group: ${{{{ github.workflow }}}}-${{{{ github.ref }}}}
  cancel-in-progress: true
jobs:
  test:
    runs-on: ubuntu-24.04
    timeout-minutes: 20
    strategy:
      matrix:
        python: ["3.11", "3.12", "3.13"]
    steps:
      - uses: {checkout}
        with:
          persist-credentials: false
      - uses: {python}
        with:
          python-version: ${{{{ matrix.python }}}}
          cache: pip
      - name: Install
        run: python -m pip install --requirement requirements.txt
      - name: Test
        run: |
          python -m pytest -q models/{index}
          python -m tools.report --out report.json
  publish:
    needs: test
    if: github.ref == 'refs/heads/main'
    runs-on: ubuntu-24.04
    environment: prod
    {permissions}
    steps:
      - uses: {checkout}
        with:
          persist-credentials: false
      - name: Publish
        env:
          REGISTRY_TOKEN: ${{{{ secrets.REGISTRY_TOKEN_{index} }}}}
        run: |
          {command}
"""


def workflow(index: int) -> str:
    """The text of one: every tenth prints its secret, every twentieth may write everything."""
    prints, writes = index % 10 == 0, index % 20 == 1
    return _TEXT.format(
        index=index,
        checkout=CHECKOUT,
        python=PYTHON,
        permissions="permissions: write-all" if writes else "permissions: {contents: read}",
        command='echo "$REGISTRY_TOKEN"' if prints else f"python -m tools.publish models/{index}",
    )


def write(root: Path, number: int) -> None:
    """So many below `root`."""
    directory = root / ".github" / "workflows"
    directory.mkdir(parents=True)
    for index in range(number):
        (directory / f"model-{index:04}.yml").write_text(workflow(index), encoding="utf-8")


def expected(number: int) -> Counter[str]:
    """Findings by rule, of every persona."""
    found = {"workflow-secret-printed": -(-number // 10), "workflow-permissions": -(-(number - 1) // 20)}
    return +Counter(found)
