# This project with all that it needs, for machines that start at once (docs/cluster.md).
#
#   docker build -t sldd-study .                          CUDA 12.8, as PyTorch's own wheels bring it
#   docker build -t sldd-study --build-arg TORCH=cpu .    far smaller, for machines without a GPU
#   docker build -t sldd-study --build-arg PYTHON=3.13 .  the Python of machines outside: all of a cluster must have the same
#   docker run --rm --gpus all --shm-size 8g sldd-study sldd-study doctor --out /tmp
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# The head reaches workers by ssh, and Ray copies by rsync into containers.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --uid 1000 sldd

# What changes least comes first: a new revision of this project leaves the layers above it as they are.
# A folder of the wheels: cpu, cu126, cu128, ...; behind a mirror, WHEELS is its address.
ARG WHEELS=https://download.pytorch.org/whl
ARG TORCH=cu128
# hadolint ignore=DL3013
RUN pip install --no-cache-dir torch torchvision --index-url "${WHEELS}/${TORCH}"

# Of pyproject.toml: aws, gcp, azure (machines and storage there), dicom, shared, ...
ARG EXTRAS=aws
WORKDIR /opt/sldd-study
COPY pyproject.toml README.md LICENSE ./
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[${EXTRAS}]"

COPY sldd sldd
COPY ledger ledger
COPY analysis analysis
COPY study study
RUN pip install --no-cache-dir --no-deps --force-reinstall . && rm -rf build

# Ray reads the home of its file_mounts here, and the NVIDIA runtime which devices it is to show.
ENV HOME=/home/sldd NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# No entry point: Ray starts its nodes in the image by commands of its own.
USER 1000
WORKDIR /home/sldd
CMD ["sldd-study", "--help"]
