# The node with its embedded PostgreSQL. Build: docker build -t idnode .   Run: see compose.yaml.
FROM python:3.11-slim

RUN useradd --system --create-home --home-dir /var/lib/idnode idnode
WORKDIR /opt/idnode

# Dependencies first: they change less often than the code.
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

COPY node node
COPY resolver resolver
COPY registry registry
COPY schemas schemas
COPY data data
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e .

ENV PATH=/opt/idnode/.venv/bin:$PATH \
    IDNODE_DATA_DIR=/var/lib/idnode/data \
    IDNODE_BIND=0.0.0.0
USER idnode
VOLUME /var/lib/idnode
EXPOSE 8000 8081 2641/tcp 2641/udp
HEALTHCHECK --start-period=60s CMD ["idnode", "doctor"]
CMD ["idnode", "up"]
