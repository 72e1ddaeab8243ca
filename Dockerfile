# The node, and every part of it, in one image. Build: docker build -t idnode .   Run: see compose.yaml.
FROM python:3.11-slim AS build
WORKDIR /opt/idnode

# Dependencies first: they change less often than the code.
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

COPY node node
COPY resolver resolver
COPY registry registry
COPY schemas schemas
COPY data data
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . && .venv/bin/python -m compileall -q node resolver registry schemas

FROM python:3.11-slim
# The font that PDFs embed.
RUN apt-get update && apt-get install -y --no-install-recommends fonts-wqy-microhei && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/idnode idnode
# At the same place: an environment knows where it stands.
COPY --from=build /opt/idnode /opt/idnode

ENV PATH=/opt/idnode/.venv/bin:$PATH \
    IDNODE_DATA_DIR=/var/lib/idnode/data \
    IDNODE_BIND=0.0.0.0
USER idnode
WORKDIR /var/lib/idnode
VOLUME /var/lib/idnode
EXPOSE 8000 8081 2641/tcp 2641/udp
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["idnode", "health"]
CMD ["idnode", "up"]
