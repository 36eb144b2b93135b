# The lookup-table server.
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 lut && install --directory --owner=lut --mode=0700 /data
WORKDIR /opt/lgcnet
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/constraints.txt
COPY latency_tables latency_tables
COPY lut_server lut_server
COPY published_networks published_networks
RUN pip install --no-cache-dir --constraint deploy/constraints.txt ".[server,postgres,parquet]"
USER lut
VOLUME /data
ENV LUT_DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
CMD ["lut-server", "serve"]
