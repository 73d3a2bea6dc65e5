import { setTimeout as pause } from "node:timers/promises";
import { previousRelease } from "../support/previous-release.ts";
import { until } from "../support/until.ts";
import {
  type BringAbout,
  calendlyIs,
  clockIs,
  deployed,
  ended,
  expectThat,
  failOver,
  notReadyFor,
  redisGone,
} from "./bring-about.ts";
import type { InstallationOptions } from "./installation.ts";

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
  readonly bringAbout: BringAbout;
}

const TOOK_OVER = "took over a job whose worker went silent";
/** Each answer of Redis takes so much longer while a job is waited for that a worker has in its hands. */
const SLOW_MS = 10;
/** No job takes so long then, where its worker goes on. */
const HELD_MS = 500;

const isSoon = async (what: string, condition: () => boolean) =>
  await until(what, condition, { deadlineMs: 5_000 }).then(
    () => true,
    () => false,
  );

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
    async bringAbout({ redis, shards, proxy, workers: [frozen, other] }, ms) {
      const active = () => redis.lrange(`${shards.first.tag}:deliveries:active`, 0, -1);
      const takeovers = () => other.now().logs.filter(({ msg }) => msg === TOOK_OVER).length;
      // It stands still with jobs in its hands, or else this shows nothing: they take a little longer until it does.
      proxy.delay(SLOW_MS);
      for (let tries = 0; ; tries++) {
        const before = takeovers();
        frozen.freeze();
        const held = await active();
        await pause(HELD_MS);
        const isHolding = (await active()).some((id) => held.includes(id));
        if (isHolding && (await isSoon("its job is taken over", () => takeovers() > before))) break;
        if (tries === 50) throw new Error("the worker never stood still with a job in its hands");
        frozen.thaw();
        await pause(50);
      }
      proxy.delay(0);
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
      return await notReadyFor(installation, ms, () => redis.config("SET", "maxmemory", "0"));
    },
  },
  {
    name: "Redis: disk full, appendfsync everysec",
    needs: "linux",
    installation: { redis: { appendfsync: "everysec" } },
    async bringAbout(installation, ms) {
      await installation.server.fillDisk(true);
      return await notReadyFor(installation, ms, () => installation.server.fillDisk(false));
    },
  },
  {
    name: "Redis: disk full, appendfsync always",
    needs: "linux",
    async bringAbout(installation, ms) {
      await installation.server.fillDisk(true);
      // It ends itself rather than to acknowledge what it cannot keep.
      return await notReadyFor(installation, ms / 2, async () => {
        await installation.server.kill();
        await installation.server.restart();
      });
    },
  },
  {
    name: "Redis: read-only after a fail-over",
    async bringAbout(installation, ms) {
      const { redis } = installation;
      await redis.config("SET", "replica-serve-stale-data", "yes");
      await redis.replicaof("127.0.0.1", "1");
      return await notReadyFor(installation, ms, () => redis.replicaof("NO", "ONE"));
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
    bringAbout: failOver("killed"),
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
    bringAbout: failOver("killed"),
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
      return await notReadyFor(installation, ms, () => installation.proxy.delay(0));
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
  { name: "Calendly's API: down", bringAbout: calendlyIs({ api: "down" }) },
  { name: "Calendly's API: two seconds slow", bringAbout: calendlyIs({ apiLatencyMs: 2_000 }) },
  { name: "Calendly's API: garbage", bringAbout: calendlyIs({ api: "garbage" }) },
  {
    name: "Calendly's API: five requests a window",
    installation: { apiRequestsPerMinute: 5 },
    bringAbout: calendlyIs({}),
  },
];
