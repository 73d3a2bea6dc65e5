// To be loaded before anything else: node --import …/telemetry/start-tracing.js main.js. It reads no more than one variable
// where tracing is off.
import { readEnvironment, setEnvironmentDefaults } from "../config/environment.ts";

/**
 * What is said of each delivery is its job, its commit and the requests to Calendly, by spans of our own; of sockets, files and single
 * commands to Redis there would be ten times as many. Requests to Calendly are not traced by their address: that may hold
 * somebody's.
 */
const DEFAULTS = {
  DD_SERVICE: "calendly-worker",
  DD_TRACE_DISABLED_PLUGINS: "net,dns,fs,child_process,ioredis,fetch,undici",
  DD_TRACE_MIDDLEWARE_TRACING_ENABLED: "false",
  DD_LOGS_INJECTION: "true",
  DD_TRACE_STARTUP_LOGS: "false",
  // The query of a callback URL says which key it is signed with, and nothing else.
  DD_TRACE_OBFUSCATION_QUERY_STRING_REGEXP: ".*",
};

const environment = readEnvironment();
if (environment["DD_TRACE_ENABLED"] === "true") {
  // It reads the process' environment alone, and no .env file.
  const own = Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith("DD_")));
  setEnvironmentDefaults({ ...DEFAULTS, ...own });
  // @ts-expect-error It has no types, and exports nothing.
  await import("dd-trace/initialize.mjs");
}
