import { setTimeout as pause } from "node:timers/promises";
import type { Faults as CalendlyFaults } from "../simulator/faults.ts";
import { jobCount } from "../support/job-count.ts";
import { previousRelease } from "../support/previous-release.ts";
import { until } from "../support/until.ts";
import type { Installation, InstallationOptions, Release } from "./installation.ts";

/** Something that goes wrong, brought about from outside. */
export interface Fault {
  readonly name: string;
  /** Why deliveries that were acknowledged may be lost by it. Absent where none may. */
  readonly mayLose?: string;
  readonly installation?: Omit<InstallationOptions, "seed">;
  /**
   * What it takes: servers that are programs of this machine, not containers; for `linux`, its limits of a process too; or
   * the history of the project, to build the release before.
   */
  readonly needs?: "program" | "linux" | "history";
  /**
   * Resolves when it is over. What it gives is called once all is settled, and throws where what must hold beside the
   * ledger does not.
   */
  bringAbout(installation: Installation, ms: number): Promise<(() => void | Promise<void>) | undefined>;
}

const TOOK_OVER = "took over a job whose worker went silent";

function expectThat(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`expected that ${what}`);
}

/** The ingest says by itself that it takes nothing now. */
async function untilNotReady({ webhookUrl }: Installation): Promise<void> {
  const isNotReady = async () => (await fetch(new URL("/readyz", webhookUrl)).catch(() => undefined))?.status === 503;
  await until("the ingest says that it is not ready", isNotReady);
}

const ended =
  (signal: "SIGTERM" | "SIGKILL", ...roles: ("ingest" | "workers")[]): Fault["bringAbout"] =>
  async ({ ingest, workers }, ms) => {
    const chosen = [...(roles.includes("ingest") ? [ingest] : []), ...(roles.includes("workers") ? workers : [])];
    for (let round = 0; round < 2; round++) {
      const before = chosen.map((role) => role.now());
      await Promise.all(chosen.map((role) => role.end(signal)));
      await until("each is started again", () => chosen.every((role, index) => role.now() !== before[index]));
      const ready = roles.includes("ingest") ? ingest.now().untilLogged("ready for deliveries") : undefined;
      const taking = roles.includes("workers") ? workers.map((role) => role.now().untilLogged("taking jobs")) : [];
      await Promise.all([ready, ...taking]);
      await pause(ms / 4);
    }
    return async () => {
      const ends = await Promise.all(chosen.flatMap(({ all }) => all.slice(0, 2).map(({ exited }) => exited)));
      const isRight = ends.every(({ code, signal: by }) => (signal === "SIGTERM" ? code === 0 : by === "SIGKILL"));
      expectThat(isRight, `each ended as told, not ${JSON.stringify(ends)}`);
    };
  };

const redisGone =
  (how: "killed" | "frozen"): Fault["bringAbout"] =>
  async (installation, ms) => {
    const { server } = installation;
    await (how === "killed" ? server.kill() : server.freeze());
    await untilNotReady(installation);
    await pause(ms / 2);
    await (how === "killed" ? server.restart() : server.thaw());
    return undefined;
  };

/** The old primary comes back as a replica of the new one. */
const failOver =
  (how: "killed" | "frozen"): Fault["bringAbout"] =>
  async (installation, ms) => {
    const { server, redis } = installation;
    const before = await portOf(redis);
    await (how === "killed" ? server.kill() : server.freeze());
    const isElsewhere = async () => (await portOf(redis)) !== before;
    await until("another one is the primary", isElsewhere, { deadlineMs: 40_000, everyMs: 200 });
    await pause(ms / 2);
    await (how === "killed" ? server.restart() : server.thaw());
    return async () => expectThat((await portOf(redis)) !== before, "the new primary stayed it");
  };

const portOf = async (redis: Installation["redis"]) => /tcp_port:(\d+)/.exec(await redis.info("server"))?.[1];

/** Of the node that answers for that key, as the node itself says. */
async function portOfKey(redis: Installation["redis"], key: string): Promise<number> {
  const text = await redis.eval("return redis.call('INFO', 'server')", 1, key);
  return Number(/tcp_port:(\d+)/.exec(String(text))?.[1]);
}

async function firstPrimaryKilled({ server, redis, shards }: Installation, ms: number): Promise<undefined> {
  const key = `${shards.first.tag}:anything`;
  const before = await portOfKey(redis, key);
  expectThat(before === server.port, `the first shard is on port ${server.port}, not ${before}`);
  await server.kill();
  const isElsewhere = async () => (await portOfKey(redis, key).catch(() => before)) !== before;
  await until("another one has its keys", isElsewhere, { deadlineMs: 40_000, everyMs: 200 });
  await pause(ms / 2);
  await server.restart();
}

const calendly =
  (change: Partial<CalendlyFaults>): Fault["bringAbout"] =>
  async ({ simulator }, ms) => {
    const before = simulator.requests().length;
    simulator.setFaults(change);
    await pause(ms);
    simulator.setFaults({ api: "well", apiLatencyMs: 0 });
    return () => expectThat(simulator.requests().length > before, "Calendly's API was asked for something meanwhile");
  };

/** Workers of both releases share the queue for a while, and so do the jobs that waited for them. */
const deployed =
  (release: Release): Fault["bringAbout"] =>
  async (installation, ms) => {
    const { redis, shards, ingest, workers } = installation;
    const before = [ingest, ...workers].map((role) => role.now());
    for (const worker of workers) worker.freeze();
    await until("jobs wait", async () => (await jobCount(redis, shards.first, "deliveries")) > 50);
    await pause(ms / 2);
    await installation.deploy(release);
    return async () => {
      const ends = await Promise.all(before.map(({ exited }) => exited));
      expectThat(
        ends.every(({ code }) => code === 0),
        `each ended as told, not ${JSON.stringify(ends)}`,
      );
    };
  };

/** Deliveries are signed by a clock that is not ours. */
const clockIs =
  (aheadMs: number): Fault["bringAbout"] =>
  async ({ simulator }, ms) => {
    const before = simulator.attempts().length;
    simulator.setFaults({ signatureClockSkewMs: aheadMs });
    await pause(ms);
    simulator.setFaults({ signatureClockSkewMs: 0 });
    return () => {
      const refused = simulator
        .attempts(before)
        .filter(({ body }) => JSON.stringify(body)?.includes("timestamp_outside_window"));
      expectThat(refused.length > 10, `deliveries out of time were refused, and not ${refused.length} alone`);
    };
  };

/** Whether a fault can be brought about on this machine. */
export function isPossible({ needs }: Fault): boolean {
  if (needs === undefined) return true;
  if (needs === "history") return previousRelease() !== undefined;
  return process.env["TEST_REDIS_SERVER"] !== "docker" && (needs === "program" || process.platform === "linux");
}

/** Every fault of the matrix. Locks last a second here, so that what takes a minute in life takes seconds. */
export const FAULTS: readonly Fault[] = [
  {
    name: "none",
    async bringAbout(_, ms) {
      await pause(ms);
      return undefined;
    },
  },
  { name: "ingest: kill -9, twice", bringAbout: ended("SIGKILL", "ingest") },
  { name: "ingest: SIGTERM, twice", bringAbout: ended("SIGTERM", "ingest") },
  { name: "workers: kill -9, twice", bringAbout: ended("SIGKILL", "workers") },
  { name: "workers: SIGTERM, twice", bringAbout: ended("SIGTERM", "workers") },
  { name: "ingest and workers: kill -9, twice", bringAbout: ended("SIGKILL", "ingest", "workers") },
  {
    name: "deploy: this release for the one before",
    needs: "history",
    installation: { release: "previous" },
    bringAbout: deployed("current"),
  },
  { name: "rollback: the release before for this one", needs: "history", bringAbout: deployed("previous") },
  {
    name: "four shards, workers: kill -9, twice",
    installation: { variables: { CALENDLY_SHARDS: "4" } },
    bringAbout: ended("SIGKILL", "workers"),
  },
  {
    name: "a worker stands still past its locks",
    async bringAbout({ workers: [frozen, other] }, ms) {
      // It stands still with jobs in its hands, or else this shows nothing.
      for (let tries = 0; ; tries++) {
        frozen.freeze();
        const tookOver = other.now().untilLogged(TOOK_OVER, 3_000);
        if (
          await tookOver.then(
            () => true,
            () => false,
          )
        )
          break;
        if (tries === 5) throw new Error("the worker never stood still with a job in its hands");
        frozen.thaw();
        await pause(50);
      }
      await pause(ms);
      frozen.thaw();
      return () => expectThat(frozen.all.length === 1, "the worker that stood still went on");
    },
  },
  {
    name: "the ingest stands still",
    async bringAbout({ ingest }, ms) {
      ingest.freeze();
      await pause(ms);
      ingest.thaw();
      return undefined;
    },
  },
  { name: "Redis: killed, appendfsync always", bringAbout: redisGone("killed") },
  {
    name: "Redis: killed, appendfsync everysec",
    mayLose: "what was not written yet: up to two seconds when the machine loses power, less when the process dies",
    installation: { redis: { appendfsync: "everysec" } },
    bringAbout: redisGone("killed"),
  },
  { name: "Redis: stands still", bringAbout: redisGone("frozen") },
  {
    name: "Redis: out of memory",
    async bringAbout(installation, ms) {
      const { redis } = installation;
      await redis.config("SET", "maxmemory", "1");
      await untilNotReady(installation);
      await pause(ms);
      await redis.config("SET", "maxmemory", "0");
      return undefined;
    },
  },
  {
    name: "Redis: disk full, appendfsync everysec",
    needs: "linux",
    installation: { redis: { appendfsync: "everysec" } },
    async bringAbout(installation, ms) {
      await installation.server.fillDisk(true);
      await untilNotReady(installation);
      await pause(ms);
      await installation.server.fillDisk(false);
      return undefined;
    },
  },
  {
    name: "Redis: disk full, appendfsync always",
    needs: "linux",
    async bringAbout(installation, ms) {
      await installation.server.fillDisk(true);
      // It ends itself rather than to acknowledge what it cannot keep.
      await untilNotReady(installation);
      await pause(ms / 2);
      await installation.server.kill();
      await installation.server.restart();
      return undefined;
    },
  },
  {
    name: "Redis: read-only after a fail-over",
    async bringAbout(installation, ms) {
      const { redis } = installation;
      await redis.config("SET", "replica-serve-stale-data", "yes");
      await redis.replicaof("127.0.0.1", "1");
      await untilNotReady(installation);
      await pause(ms);
      await redis.replicaof("NO", "ONE");
      return undefined;
    },
  },
  {
    name: "Sentinel: the primary is killed",
    needs: "program",
    mayLose: "what the replica had not got yet, whatever the primary's settings",
    installation: { hasSentinels: true },
    bringAbout: failOver("killed"),
  },
  {
    name: "Sentinel: the primary stands still",
    needs: "program",
    mayLose: "what the replica had not got yet, and what the old primary took on until it learned that it is none",
    installation: { hasSentinels: true },
    bringAbout: failOver("frozen"),
  },
  {
    name: "Cluster: the first shard's primary is killed",
    needs: "program",
    mayLose: "what its replica had not got yet, whatever the primary's settings",
    installation: { isCluster: true, variables: { CALENDLY_SHARDS: "3" } },
    bringAbout: firstPrimaryKilled,
  },
  {
    name: "Sentinel: killed, REDIS_WAIT_REPLICAS=1",
    needs: "program",
    installation: { hasSentinels: true, variables: { REDIS_WAIT_REPLICAS: "1" } },
    bringAbout: failOver("killed"),
  },
  {
    name: "Sentinel: stands still, REDIS_WAIT_REPLICAS=1",
    needs: "program",
    installation: { hasSentinels: true, variables: { REDIS_WAIT_REPLICAS: "1" } },
    bringAbout: failOver("frozen"),
  },
  {
    name: "Cluster: killed, REDIS_WAIT_REPLICAS=1",
    needs: "program",
    installation: { isCluster: true, variables: { CALENDLY_SHARDS: "3", REDIS_WAIT_REPLICAS: "1" } },
    bringAbout: firstPrimaryKilled,
  },
  {
    name: "Redis: forgets its scripts, again and again",
    async bringAbout({ redis }, ms) {
      const end = performance.now() + ms;
      while (performance.now() < end) {
        await redis.script("FLUSH");
        await pause(100);
      }
      return undefined;
    },
  },
  {
    name: "network: answers come two seconds late",
    async bringAbout(installation, ms) {
      installation.proxy.delay(2_000);
      await untilNotReady(installation);
      await pause(ms);
      installation.proxy.delay(0);
      return undefined;
    },
  },
  {
    name: "network: 50 kB/s for each connection",
    async bringAbout({ proxy }, ms) {
      proxy.throttle(50_000);
      await pause(ms);
      proxy.throttle(Infinity);
      return undefined;
    },
  },
  {
    name: "network: cut in the middle of answers",
    async bringAbout({ proxy }, ms) {
      const end = performance.now() + ms;
      while (performance.now() < end) {
        proxy.cutInAnswers();
        await pause(250);
      }
      return () => expectThat(proxy.cuts() > 10, `connections were cut, and not ${proxy.cuts()} alone`);
    },
  },
  {
    name: "network: half-closed connections",
    async bringAbout({ proxy }, ms) {
      const end = performance.now() + ms;
      while (performance.now() < end) {
        proxy.halfClose();
        await pause(500);
      }
      return undefined;
    },
  },
  { name: "Calendly's clock: an hour ahead", bringAbout: clockIs(3_600_000) },
  {
    name: "Calendly's clock: an hour behind",
    installation: { variables: { CALENDLY_LATE_FETCHES: "60000" } },
    bringAbout: clockIs(-3_600_000),
  },
  { name: "Calendly's API: down", bringAbout: calendly({ api: "down" }) },
  { name: "Calendly's API: two seconds slow", bringAbout: calendly({ apiLatencyMs: 2_000 }) },
  { name: "Calendly's API: garbage", bringAbout: calendly({ api: "garbage" }) },
  {
    name: "Calendly's API: five requests a window",
    installation: { apiRequestsPerMinute: 5 },
    bringAbout: calendly({}),
  },
];
