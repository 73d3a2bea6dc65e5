import { randomBytes } from "node:crypto";
import { request } from "node:https";
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { signatureHeader } from "../support/deliveries.ts";
import { WEBHOOK_PATH } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { cpuSeconds, createProject, docker, freePorts, logsOf, type Project, run, startMs } from "./compose-engine.ts";
import { missed, startDeliveries } from "./compose-load.ts";

// The images and docker-compose.yml, tried on the Docker engine that `docker` leads to. Exit code 1 where something is not
// as it must be. Everything that it starts is a project of its own, and is taken down at the end.

const USAGE = `pnpm compose:try [options]

  --no-build   takes the images that are there
  --per-second deliveries a second while ingests and workers are replaced (default 50)
`;

const MEGABYTE = 1_000_000;
const APPS = ["ingest", "worker", "cli", "demo"] as const;
const SERVICES = ["demo-ingest", "demo-ingest-2", "demo-worker"] as const;
const READY: Readonly<Record<string, string>> = { ingest: "ready for deliveries", worker: "taking jobs" };
const DEMO = { signingKey: "demo-signing-key-not-a-secret", opsToken: "demo-ops-token-not-a-secret" };
/** What must be in no image of an installation. */
const FOREIGN =
  /^(bin\/|usr\/(local\/)?bin\/)?(sh|bash|npm|npx|apt-get)$|^app\/(test|apps\/demo)\/|^app\/(apps|packages)\/[^/]+\/src\/|^app\/(apps|packages)\/.*\/dist\/.*\.test\.js$|^app\/node_modules\/\.pnpm\/(typescript|jest|@jest\+[^/@]+|@types\+[^/@]+|fast-check|puppeteer-core)@/;

const { values } = parseArgs({
  options: {
    "no-build": { type: "boolean", default: false },
    "per-second": { type: "string", default: "50" },
    help: { type: "boolean", default: false },
  },
});
const perSecond = Number(values["per-second"]);
if (values.help || !Number.isInteger(perSecond) || perSecond < 1 || perSecond > 1_000) {
  process.stdout.write(USAGE);
  process.exit(values.help ? 0 : 1);
}

interface Row {
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
  readonly isRight: boolean;
}

const rows: Row[] = [];
function tell(what: string, found: string, wanted: string, isRight: boolean): void {
  rows.push({ what, found, wanted, isRight });
  process.stdout.write(`  ${isRight ? "ok    " : "FAILED"} ${what.padEnd(58)} ${found} (wanted: ${wanted})\n`);
}
const tellBelow = (what: string, found: number, limit: number, unit: string) =>
  tell(what, `${found.toFixed(1)} ${unit}`, `below ${limit} ${unit}`, found < limit);
const secondsSince = (from: number) => (performance.now() - from) / 1_000;

const projects: Project[] = [];
function project(name: string, environment: Readonly<Record<string, string>>): Project {
  const made = createProject(name, environment);
  projects.push(made);
  return made;
}

try {
  if (!values["no-build"]) await buildImages();
  await tryImages();
  await tryDemo();
  await tryProduction();
} catch (error) {
  tell("tried to the end", error instanceof Error ? error.message : String(error), "yes", false);
} finally {
  for (const one of projects) await one.down();
}
const failed = rows.filter(({ isRight }) => !isRight).length;
process.stdout.write(`\n${rows.length - failed} as wanted, ${failed} not\n`);
process.exit(failed === 0 ? 0 : 1);

/** Over the host's network: an engine's own need not reach a package registry. */
async function buildImages(): Promise<void> {
  for (const app of APPS) {
    const from = performance.now();
    await docker("build", "--network=host", "--target", app, "--tag", `calendly-worker/${app}`, ".");
    process.stdout.write(`  built  ${app} (${secondsSince(from).toFixed(0)} s)\n`);
  }
}

async function tryImages(): Promise<void> {
  for (const app of APPS) {
    const image = `calendly-worker/${app}`;
    const size = Number(await docker("image", "inspect", "--format", "{{.Size}}", image));
    tellBelow(`${app}: size of the image, unpacked`, size / MEGABYTE, 200, "MB");
    if (app === "demo") continue;
    const id = await docker("create", image);
    const { said } = await run("sh", ["-c", `docker export ${id} | tar -t`]);
    await docker("rm", id);
    const files = said.split("\n").map((file) => file.replace(/^\.\//, ""));
    const foreign = files.filter((file) => FOREIGN.test(file));
    tell(
      `${app}: no code of tests, no tools, no shell`,
      foreign.slice(0, 3).join(" ") || "none",
      "none",
      foreign.length === 0,
    );
    const has = files.includes(`app/apps/${app}/dist/main.js`);
    tell(`${app}: the app is in it`, has ? "yes" : "no", "yes", has);
  }
}

async function tryDemo(): Promise<void> {
  const [ingestPort = 0, workerPort = 0, simulatorPort = 0] = await freePorts(3);
  const demo = project("calendly-try-demo", {
    COMPOSE_PROFILES: "demo",
    DEMO_INGEST_PORT: String(ingestPort),
    DEMO_WORKER_PORT: String(workerPort),
    DEMO_SIMULATOR_PORT: String(simulatorPort),
  });
  const from = performance.now();
  await demo.must("up", "--detach", "--no-build");
  await demo.untilHealthy("all");
  tellBelow("demo: up and healthy, from nothing and with nothing filled in", secondsSince(from), 60, "s");
  const code = await demo.untilEnded("demo-day");
  tell("demo: the day comes out right", `exit code ${code}`, "exit code 0", code === 0);
  if (code !== 0) process.stdout.write(`${await demo.logs("demo-day")}\n`);
  await tryRights(demo);

  const workerUrl = `http://127.0.0.1:${workerPort}`;
  const load = startDeliveries(`http://127.0.0.1:${ingestPort}${WEBHOOK_PATH}`, DEMO.signingKey, 1_000 / perSecond);
  for (const service of SERVICES) {
    await demo.must("up", "--detach", "--no-build", "--no-deps", "--force-recreate", service);
    await demo.untilHealthy([service]);
  }
  const { accepted, refused } = await load.stop();
  const others = Object.entries(refused).map(([answer, count]) => `${count} × ${answer}`);
  tell(
    `ingests and worker replaced, ${perSecond} deliveries a second: taken`,
    String(accepted.length),
    "hundreds",
    accepted.length > 200,
  );
  tell("  refused", others.join(", ") || "0", "0", others.length === 0);
  const { lost, doubled } = await missed(workerUrl, DEMO.opsToken, accepted);
  tell("  lost", String(lost), "0", lost === 0);
  tell("  doubled", String(doubled), "0", doubled === 0);
  await tryStarts();
  await demo.down();
}

/** What the engine was really told, not what the file says. */
async function tryRights(demo: Project): Promise<void> {
  const loose = (await demo.containers()).flatMap(({ service, config: { Config, HostConfig } }) => {
    const added = (HostConfig.CapAdd ?? []).map((name) => name.replace(/^CAP_/, ""));
    const isProxy = service === "demo-proxy";
    const faults = [
      HostConfig.ReadonlyRootfs ? "" : "may write",
      HostConfig.CapDrop?.includes("ALL") ? "" : "keeps capabilities",
      added.join() === (isProxy ? "NET_BIND_SERVICE" : "") ? "" : "has more capabilities",
      HostConfig.SecurityOpt?.some((option) => option.startsWith("no-new-privileges")) ? "" : "may gain privileges",
      HostConfig.Init === true ? "" : "has no init",
      isProxy || !["", "0", "root"].includes(Config.User) ? "" : "is root",
    ];
    return faults.filter((fault) => fault !== "").map((fault) => `${service} ${fault}`);
  });
  tell("read-only, no capabilities, not root, an init", loose.join(", ") || "all", "all", loose.length === 0);
}

/** Each by itself, as a container that may write nothing: the tracer is much code of others, which might want to. */
async function tryStarts(): Promise<void> {
  const environment: Readonly<Record<string, readonly string[]>> = {
    ingest: [`CALENDLY_WEBHOOK_SIGNING_KEY=${DEMO.signingKey}`],
    worker: ["CALENDLY_API_TOKEN=demo-token-not-a-secret", "CALENDLY_API_BASE_URL=http://demo-simulator:4010"],
  };
  for (const [app, own] of Object.entries(environment)) {
    const plain = [await startAlone(app, own), await startAlone(app, own), await startAlone(app, own)];
    const [fastest] = plain.toSorted((a, b) => a.seconds - b.seconds);
    if (fastest === undefined) continue;
    // On a machine that is busy with other things, what it takes of a processor is what it would take by itself.
    const load = loadavg()[0] ?? 0;
    const isBusy = load > availableParallelism();
    const { seconds, cpu } = fastest;
    const found = `${seconds.toFixed(1)} s, ${cpu?.toFixed(1) ?? "?"} s of a processor, load ${load.toFixed(0)}`;
    const wanted = isBusy ? "below 2 s of a processor, the machine being busy" : "below 2 s";
    tell(`${app}: started, the fastest of three`, found, wanted, (isBusy ? (cpu ?? seconds) : seconds) < 2);
    const traced = await startAlone(app, [...own, "DD_TRACE_ENABLED=true"]);
    tell(`${app}: starts with tracing, on a read-only file system`, `${traced.seconds.toFixed(1)} s`, "at all", true);
    const codes = [...plain, traced].map(({ exitCode }) => exitCode);
    tell(
      `${app}: ends when it is told to`,
      `exit codes ${codes}`,
      "0 each",
      codes.every((code) => code === "0"),
    );
  }
}

/** Starts one beside the demo, waits until it is ready, and stops it. */
async function startAlone(app: string, own: readonly string[]) {
  const variables = ["REDIS_URL=redis://redis:6379", ...own].flatMap((variable) => ["--env", variable]);
  const id = await docker(
    ...["run", "--detach", "--init", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"],
    ...["--security-opt=no-new-privileges:true", "--network=calendly-try-demo_demo", ...variables],
    `calendly-worker/${app}`,
  );
  try {
    const ms = await startMs(id, READY[app] ?? "").catch(async (error: Error) => {
      throw new Error(`${app}: ${error.message}\n${(await logsOf(id)).slice(-2_000)}`);
    });
    const cpu = await cpuSeconds(id);
    await docker("stop", "--time", "30", id);
    return { seconds: ms / 1_000, cpu, exitCode: await docker("inspect", "--format", "{{.State.ExitCode}}", id) };
  } finally {
    await docker("rm", "--force", "--volumes", id);
  }
}

/** With a .env that is filled in, and a certificate of the proxy's own authority. */
async function tryProduction(): Promise<void> {
  const [ingestPort = 0, workerPort = 0, httpPort = 0, httpsPort = 0] = await freePorts(4);
  const secret = () => randomBytes(24).toString("hex");
  const signingKey = secret();
  const production = project("calendly-try", {
    COMPOSE_PROFILES: "production,tls",
    CALENDLY_WEBHOOK_SIGNING_KEY: signingKey,
    CALENDLY_API_TOKEN: secret(),
    OPS_API_TOKEN: secret(),
    METRICS_TOKEN: secret(),
    CALENDLY_WEBHOOK_BASE_URL: "https://localhost",
    // Refuses every connection: nothing is asked of the real one.
    CALENDLY_API_BASE_URL: "http://127.0.0.1:9",
    INGEST_PUBLISH: "127.0.0.1",
    INGEST_PORT: String(ingestPort),
    WORKER_PORT: String(workerPort),
    PROXY_HTTP_PORT: String(httpPort),
    PROXY_HTTPS_PORT: String(httpsPort),
  });
  const from = performance.now();
  await production.must("up", "--detach", "--no-build");
  await production.untilHealthy("all");
  tellBelow("production with tls: up and healthy", secondsSince(from), 60, "s");

  const authority = "/data/caddy/pki/authorities/local/root.crt";
  const ca = await until("the proxy has a certificate", async () => {
    const { code, said } = await production.compose("exec", "-T", "proxy", "cat", authority);
    return code === 0 && said;
  });
  const status = await deliverOverTls(httpsPort, ca, signingKey);
  tell("  a delivery over TLS, the certificate verified", String(status), "200", status === 200);
  const plain = await fetch(`http://localhost:${httpPort}/`, { redirect: "manual" });
  tell("  without TLS one is sent there", String(plain.status), "308", plain.status === 308);
  const direct = await fetch(`http://127.0.0.1:${ingestPort}/metrics`);
  tell("  metrics on the webhook's port", String(direct.status), "404", direct.status === 404);

  const doctor = await production.compose("run", "--rm", "cli", "doctor");
  const isSeen = /redis/i.test(doctor.output) && doctor.code === 1;
  tell("  cli doctor runs, and finds that Calendly is not there", `exit code ${doctor.code}`, "exit code 1", isSeen);
  if (!isSeen) process.stdout.write(`${doctor.output}\n`);
  await production.down();
}

/** The answer's status; rejects where the certificate is not of that authority and for that host. */
function deliverOverTls(port: number, ca: string, key: string): Promise<number> {
  const body = createdBody(newInvitee());
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "calendly-webhook-signature": signatureHeader(body, key),
  };
  return new Promise((resolve, reject) => {
    const sent = request({
      host: "127.0.0.1",
      servername: "localhost",
      port,
      path: WEBHOOK_PATH,
      method: "POST",
      ca,
      headers,
    });
    sent.setHeader("host", "localhost");
    sent.once("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.once("error", reject);
    sent.end(body);
  });
}
