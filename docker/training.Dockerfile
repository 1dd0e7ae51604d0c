# What builds checkpoints, built from the repository's root:
#
#   docker build -f docker/training.Dockerfile -t handpose-training .
#   docker run --rm -v "$PWD/data:/data:ro" -v runs:/app/runs -v checkpoints:/checkpoints handpose-training
#
# trains the default pair from /data, puts it into the volume and calibrates its scores; arguments after the image's name are those of
# `python -m training` instead. PyTorch's wheels bring CUDA: with `--gpus all` it trains on an NVIDIA device.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY docker/requirements/training.txt /build/
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-compile --only-binary :all: --require-hashes \
        -r /build/training.txt

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin handpose \
    && install -d -o 10001 -g 10001 /checkpoints /app/runs
# glibc would give large blocks back to the kernel at every step and pay for them again.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    MALLOC_TRIM_THRESHOLD_=8000000000 \
    MALLOC_MMAP_THRESHOLD_=8000000000 \
    MALLOC_TOP_PAD_=500000000 \
    HANDS_DATA=/data
WORKDIR /app
USER 10001:10001
VOLUME ["/app/runs", "/checkpoints"]
ENTRYPOINT ["sh", "/opt/train.sh"]
COPY docker/train.sh /opt/train.sh
COPY --from=build /opt/venv /opt/venv
COPY service/ service/
COPY training/ training/
ARG BASE
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="handpose-training" \
    org.opencontainers.image.description="Trains the networks that the handpose service runs" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.base.name="${BASE}"
