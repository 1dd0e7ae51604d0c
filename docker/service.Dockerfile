# The inference service, built from the repository's root:
#
#   docker build -f docker/service.Dockerfile -t handpose-service .
#   docker build -f docker/service.Dockerfile -t handpose-service:gpu --build-arg EXTRA=gpu .
#
# BASE: an image whose `python` is 3.11 or newer and has pip and venv. EXTRA=gpu adds PyTorch, whose wheels bring
# CUDA themselves: the host needs NVIDIA's driver and container toolkit, the base needs nothing of CUDA.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG EXTRA=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY docker/requirements/ requirements/
# Wheels alone, each with a hash that was written down before: nothing is compiled, nothing else gets in.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-compile --only-binary :all: --require-hashes \
        -r "requirements/service${EXTRA:+-$EXTRA}.txt" \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv/lib
COPY LICENSE README.md pyproject.toml ./
COPY clients/web/ clients/web/
COPY service/ service/
# The package apart from what it needs, so that a new version of it is a small layer.
RUN python -m venv --without-pip tools \
    && python -m pip --python tools/bin/python install --only-binary :all: --require-hashes -r requirements/build.txt \
    && tools/bin/python -m hatchling build -t wheel -d wheels \
    && python -m pip --python /opt/venv/bin/python install --no-compile --no-deps --target /opt/app wheels/*.whl \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /opt/app \
    && PYTHONPATH=/opt/app python -m pip --python /opt/venv/bin/python check

FROM ${BASE}
# /checkpoints gives a new volume its owner: training writes there, the service reads.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin handpose \
    && install -d -o 10001 -g 10001 /checkpoints
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HANDPOSE_HOST=0.0.0.0
WORKDIR /opt/app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/healthcheck.py"]
ENTRYPOINT ["python", "-m", "service"]
COPY docker/healthcheck.py /opt/healthcheck.py
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/app /opt/app
ARG BASE
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="handpose" \
    org.opencontainers.image.description="Finds hands in pictures: boxes, handedness and 21 keypoints as JSON" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.base.name="${BASE}"
