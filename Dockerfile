# The action's image: a trimmed CPython, the locked dependencies, Keylease, and nothing else.
# No shell, no package manager and no compiler: a job's token is in this container's environment.
#
# BASE supplies the interpreter and its shared libraries. `make image` and a job using `uses: ./` take the exact
# patch tag below; the release workflow passes the same tag with its digest (`--build-arg BASE=…@sha256:…`).
# tests/e2e reads the name from this line and puts a local base image behind it.
ARG BASE=docker.io/library/python:3.13.14-slim-trixie

FROM ${BASE} AS build
WORKDIR /build
# The dependencies come first: a change of ours then rebuilds (and a runner then pulls) only the last, small layer.
COPY requirements/runtime.lock ./
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
      --require-hashes --no-deps --only-binary :all: --target /build/packages -r runtime.lock
COPY docker/ docker/
RUN PYTHONHASHSEED=0 python3 docker/assemble.py runtime --packages /build/packages --root /rootfs \
    && chroot /rootfs /opt/keylease/bin/python3 -ISB - < docker/selfcheck.py
# Keylease has no compiled parts: its source is its build.
COPY src/keylease/ src/keylease/
COPY LICENSE ./
RUN PYTHONHASHSEED=0 python3 docker/assemble.py app --source src/keylease --license LICENSE --root /approot

FROM scratch
COPY --from=build /rootfs/ /
COPY --from=build /approot/ /
ARG VERSION=0.0.0+unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keylease" \
      org.opencontainers.image.description="Exchange a CI job's own OIDC token for short-lived credentials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Only for people who run the image by hand: the runner replaces PATH and the working directory.
ENV PATH=/opt/keylease/bin
ENTRYPOINT ["/opt/keylease/bin/keylease-action"]
