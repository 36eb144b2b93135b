# The agent, with the LGCNet space. One file, two images:
#   new GPUs:  docker build -f deploy/images/agent.Dockerfile -t lgcnet-agent .
#   Pascal:    docker build -f deploy/images/agent.Dockerfile -t lgcnet-agent-pascal \
#                --build-arg BASE=nvidia/cuda:12.6.3-devel-ubuntu22.04 \
#                --build-arg REQUIREMENTS="torch==2.7.1 tensorrt==8.6.1 tensorrt-libs==8.6.1 tensorrt-bindings==8.6.1" \
#                --build-arg CONSTRAINTS=/dev/null --build-arg PIP_EXTRA_INDEX_URL=https://pypi.nvidia.com .
# torch 2.7.1 is the last that PyPI's default build has Pascal kernels in, TensorRT 8.6 the last that has them at all;
# its bindings exist for Python 3.6 to 3.11, and Ubuntu 22.04 has 3.10. Its libraries are not on PyPI.
# The devel image is there for pycuda, which is compiled when it is installed.
ARG BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04
FROM ${BASE}
ARG REQUIREMENTS=""
ARG CONSTRAINTS=deploy/constraints.txt
# pip reads it from the environment.
ARG PIP_EXTRA_INDEX_URL
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv python3-dev build-essential \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home agent && install --directory --owner=agent /state
WORKDIR /opt/lgcnet
ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/constraints.txt
COPY latency_tables latency_tables
COPY lut_server lut_server
COPY profiler_agent profiler_agent
COPY lgcnet_search lgcnet_search
COPY published_networks published_networks
COPY street_scenes street_scenes
COPY tests tests
# The server is there for the tests, which start one. onnxruntime and onnxruntime-gpu are the same module: one of them.
RUN pip install --no-cache-dir --constraint ${CONSTRAINTS} \
        ${REQUIREMENTS} ".[agent,onnx,search,server,tensorrt]" hypothesis pytest \
    && pip uninstall --yes onnxruntime && pip install --no-cache-dir onnxruntime-gpu
USER agent
VOLUME /state
# The agent's own tests run inside: docker run --gpus all lgcnet-agent python -m pytest tests/profiler_agent
CMD ["profiler-agent", "run", "--state-dir", "/state"]
