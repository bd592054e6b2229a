# API, worker and migrations are one image with three commands: src/start/http.ts, worker.ts, migrate.ts.
# Node runs the TypeScript sources as they are, so there is no build step.

FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are a Node and a PostgreSQL for machines that have none.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-slim
# What changes the files of a guest that is scrubbed, and the jail it runs in; util-linux is there.
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap e2fsprogs && rm -rf /var/lib/apt/lists/*
RUN install -d -o node -g node -m 0700 /data /keys /app/.cache
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY migrations migrations
COPY src src

ENV NODE_ENV=production HOST=0.0.0.0 PORT=9292 IDENTITY=trusted-headers DATA_DIR=/data KEK_FILE=/keys/kek.json
USER node
# Compiled code, kept: a start takes half the time and 20 MiB less. Without a database both stop as soon as they are loaded.
ENV NODE_COMPILE_CACHE=/app/.cache
RUN node src/start/http.ts 2> /dev/null; node src/start/worker.ts 2> /dev/null; test -n "$(find .cache -type f)"
VOLUME /data
EXPOSE 9292
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/start/http.ts"]
