import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { atExit } from "./at-exit.ts";
import { freePort } from "./redis-server.ts";
import { until } from "./until.ts";

export interface Prometheus {
  /** The names of the alerts that fire now. */
  firing(): Promise<string[]>;
  /** The value of an expression that gives one; undefined where it gives none. */
  value(expr: string): Promise<number | undefined>;
  /** Targets that cannot be scraped, with why. */
  unhealthy(): Promise<string[]>;
  stop(): Promise<void>;
}

/** A real Prometheus on loopback, with these rules, that scrapes these addresses twice a second. */
export async function startPrometheus(options: {
  readonly rules: string;
  readonly token: string;
  readonly targets: Readonly<Record<string, string>>;
}): Promise<Prometheus> {
  const dir = mkdtempSync(join(tmpdir(), "calendly-prometheus-"));
  const port = await freePort();
  writeFileSync(join(dir, "rules.yml"), options.rules);
  const config = {
    global: { scrape_interval: "500ms", scrape_timeout: "500ms", evaluation_interval: "500ms" },
    rule_files: ["rules.yml"],
    scrape_configs: Object.entries(options.targets).map(([job_name, target]) => ({
      job_name,
      authorization: { credentials: options.token },
      static_configs: [{ targets: [target] }],
    })),
  };
  writeFileSync(join(dir, "prometheus.yml"), stringify(config));
  const child: ChildProcess = spawn(
    "prometheus",
    [
      `--config.file=${join(dir, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(dir, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const failed = once(child, "error").then(([error]) => {
    throw new Error("prometheus is needed: it is Debian's package of that name", { cause: error });
  });
  failed.catch(() => {});
  const end = () => child.kill("SIGKILL");
  atExit.add(end);

  async function ask<T>(path: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    if (!response.ok) throw new Error(`Prometheus answered ${response.status}: ${await response.text()}`);
    return ((await response.json()) as { data: T }).data;
  }
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await Promise.race([failed, until("Prometheus is ready", isReady, { deadlineMs: 30_000 })]).catch(
    (error: unknown) => {
      end();
      rmSync(dir, { recursive: true, force: true });
      throw error;
    },
  );

  return {
    async firing() {
      const { alerts } = await ask<{ alerts: { state: string; labels: { alertname: string } }[] }>("alerts");
      const names = alerts.filter(({ state }) => state === "firing").map(({ labels }) => labels.alertname);
      return [...new Set(names)].toSorted();
    },
    async value(expr) {
      const { result } = await ask<{ result: { value: [number, string] }[] }>(
        `query?query=${encodeURIComponent(expr)}`,
      );
      return result[0] === undefined ? undefined : Number(result[0].value[1]);
    },
    async unhealthy() {
      type Target = { health: string; scrapeUrl: string; lastError: string };
      const { activeTargets } = await ask<{ activeTargets: Target[] }>("targets");
      return activeTargets.filter(({ health }) => health !== "up").map((one) => `${one.scrapeUrl}: ${one.lastError}`);
    },
    async stop() {
      atExit.remove(end);
      child.kill("SIGTERM");
      await once(child, "exit");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
