# One file, two images: docker build --target ingest .   and   docker build --target worker .

# What the package manager needs to know, and nothing else: as long as these files stay the same, so do the layers with
# the packages.
FROM node:24-bookworm-slim AS manifests
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

# Installed afresh instead of pruned, so that nothing of the build can stay behind.
FROM manifests AS dependencies
# --no-optional: what is optional is native code of the tracer for profiling and the like, larger than all the rest.
RUN npx --yes pnpm@12.21.0 install --prod --no-optional --frozen-lockfile --ignore-scripts \
  --filter "@calendly-worker/ingest..." --filter "@calendly-worker/worker..."

# All that the two images share, so that a host with both stores it once. The files belong to root: the app cannot
# change itself.
FROM node:24-bookworm-slim AS runtime
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=dependencies /app/packages packages
COPY --from=build /app/packages/core/dist packages/core/dist
USER node

# No shell and no npm between the engine and the app: signals reach it and its exit code is the container's.
# Exit code 78 means that it refuses to start and that a restart would not help; the end of the log says why.

FROM runtime AS ingest
COPY --from=dependencies /app/apps/ingest apps/ingest
COPY --from=build /app/apps/ingest/dist apps/ingest/dist
# The metrics' port: its default is the loopback address too.
ENV INGEST_METRICS_HOST=0.0.0.0
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.INGEST_PORT || 3000}/readyz`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "--import", "./packages/core/dist/telemetry/start-tracing.js", "apps/ingest/dist/main.js"]

FROM runtime AS worker
# Its default is the loopback address, which nothing outside the container would reach. Publish the port with care.
ENV WORKER_HOST=0.0.0.0
COPY --from=dependencies /app/apps/worker apps/worker
COPY --from=build /app/apps/worker/dist apps/worker/dist
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WORKER_PORT || 3001}/readyz`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "--import", "./packages/core/dist/telemetry/start-tracing.js", "apps/worker/dist/main.js"]
