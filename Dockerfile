# One file, an image for each app: docker build --target ingest .   (or worker, cli; and demo, which is no part of an
# installation)

# What is built and run with. To have a build that is the same in a year, name it by its digest:
#   docker build --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:… --target ingest .
ARG NODE_IMAGE=node:24-bookworm-slim

# What the package manager needs to know, and nothing else: as long as these files stay the same, so do the layers with
# the packages.
FROM ${NODE_IMAGE} AS manifests
WORKDIR /app
# Without a terminal pnpm would rather stop than ask.
ENV CI=true
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
COPY packages/core/package.json packages/core/
COPY apps/ingest/package.json apps/ingest/
COPY apps/worker/package.json apps/worker/
COPY apps/supervisor/package.json apps/supervisor/
COPY apps/cli/package.json apps/cli/

FROM manifests AS build
# --ignore-scripts: the only package with one that may run is `node`, which would fetch a second Node.
RUN npx --yes pnpm@12.21.0 install --frozen-lockfile --ignore-scripts
COPY tsconfig.base.json ./
COPY scripts/build.mjs scripts/
COPY packages packages
COPY apps apps
RUN node scripts/build.mjs
# The compiler's own notes are of no use to what runs.
RUN find packages apps \( -path '*/dist/*.d.ts' -o -path '*/dist/.tsbuildinfo' \) \
  -not -path '*/node_modules/*' -exec rm {} +

# Each app has its own packages and no other's: what faces the world holds no dashboard. Installed afresh instead of
# pruned, so that nothing of the build can stay behind.
# --no-optional: what is optional is native code of the tracer for profiling and the like, larger than all the rest.
FROM manifests AS ingest-packages
RUN npx --yes pnpm@12.21.0 install --prod --no-optional --frozen-lockfile --ignore-scripts \
  --filter "@calendly-worker/ingest..."

FROM manifests AS worker-packages
RUN npx --yes pnpm@12.21.0 install --prod --no-optional --frozen-lockfile --ignore-scripts \
  --filter "@calendly-worker/worker..."

FROM manifests AS cli-packages
RUN npx --yes pnpm@12.21.0 install --prod --no-optional --frozen-lockfile --ignore-scripts \
  --filter "@calendly-worker/cli..."

# Node and the libraries that it loads: with all of its distribution an image would be larger than 200 MB.
FROM ${NODE_IMAGE} AS system
COPY scripts/image-root.mjs /tmp/
RUN node /tmp/image-root.mjs /system

# No shell, no package manager and no npm: there is nothing between the engine and the app, so signals reach it and its
# exit code is the container's. The files belong to root: the app cannot change itself.
FROM scratch AS runtime
COPY --from=system /system/ /
ENV PATH=/usr/local/bin NODE_ENV=production
# Fails the build where a library is missing.
RUN ["node", "--version"]
WORKDIR /app
# The user `node`, as a number, so that whoever asks for another user than root can see that it is one.
USER 1000:1000
ARG VERSION=0.2.0
ARG REVISION=
LABEL org.opencontainers.image.vendor="calendly-worker" \
  org.opencontainers.image.licenses="UNLICENSED" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"

# Exit code 78 means that an app refuses to start and that a restart would not help; the end of the log says why.

FROM runtime AS ingest
LABEL org.opencontainers.image.title="calendly-worker ingest" \
  org.opencontainers.image.description="Takes what Calendly delivers, proves it genuine and puts it on a queue."
COPY --from=ingest-packages /app/node_modules node_modules
COPY --from=ingest-packages /app/packages packages
COPY --from=ingest-packages /app/apps/ingest apps/ingest
COPY --from=build /app/packages/core/dist packages/core/dist
COPY --from=build /app/apps/ingest/dist apps/ingest/dist
# The metrics' port: its default is the loopback address too.
ENV INGEST_METRICS_HOST=0.0.0.0
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.INGEST_PORT || 3000}/readyz`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "--import", "./packages/core/dist/telemetry/start-tracing.js", "apps/ingest/dist/main.js"]

FROM runtime AS worker
LABEL org.opencontainers.image.title="calendly-worker worker" \
  org.opencontainers.image.description="Folds deliveries into bookings and publishes their outcomes."
COPY --from=worker-packages /app/node_modules node_modules
COPY --from=worker-packages /app/packages packages
COPY --from=worker-packages /app/apps/worker apps/worker
COPY --from=build /app/packages/core/dist packages/core/dist
COPY --from=build /app/apps/worker/dist apps/worker/dist
# Its default is the loopback address, which nothing outside the container would reach. Publish the port with care.
ENV WORKER_HOST=0.0.0.0
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WORKER_PORT || 3001}/readyz`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "--import", "./packages/core/dist/telemetry/start-tracing.js", "apps/worker/dist/main.js"]

# docker run … calendly-worker/cli doctor
FROM runtime AS cli
LABEL org.opencontainers.image.title="calendly-worker command line" \
  org.opencontainers.image.description="Looks after an installation: pnpm calendly, as an image."
COPY --from=cli-packages /app/node_modules node_modules
COPY --from=cli-packages /app/packages packages
COPY --from=cli-packages /app/apps/cli apps/cli
COPY --from=build /app/packages/core/dist packages/core/dist
COPY --from=build /app/apps/cli/dist apps/cli/dist
ENTRYPOINT ["node", "--enable-source-maps", "apps/cli/dist/main.js"]
CMD ["--help"]

# Calendly, simulated, and the day that is played on it. Code of the tests, which is in no other image; Node runs it as it
# is. It needs no more packages than the worker and the core, and stands where their links to them fit.
FROM runtime AS demo
LABEL org.opencontainers.image.title="calendly-worker demo" \
  org.opencontainers.image.description="A simulated Calendly, and a day that is played on it. No part of an installation."
COPY --from=worker-packages /app/node_modules node_modules
COPY --from=worker-packages /app/packages packages
COPY --from=worker-packages /app/packages/core/node_modules apps/demo/node_modules
COPY --from=worker-packages /app/apps/worker/node_modules apps/demo/node_modules
COPY --from=build /app/packages/core/dist packages/core/dist
COPY test/package.json apps/demo/
COPY test/simulator apps/demo/simulator
COPY test/support apps/demo/support
COPY test/demo apps/demo/demo
EXPOSE 4010
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:4010/_simulator', { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-warning=ExperimentalWarning", "apps/demo/simulator/main.ts", "--host", "0.0.0.0"]
