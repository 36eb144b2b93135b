# The lookup-table server.
FROM python:3.12-slim
RUN useradd --create-home lut && install --directory --owner=lut /data
WORKDIR /opt/lgcnet
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/constraints.txt
COPY lut_server lut_server
COPY profiler_agent profiler_agent
COPY lgcnet_search lgcnet_search
RUN pip install --no-cache-dir --constraint deploy/constraints.txt ".[server,postgres]"
USER lut
VOLUME /data
ENV LUT_DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["lut-server", "serve"]
