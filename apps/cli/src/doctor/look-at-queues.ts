import { deliveries } from "@calendly-worker/core/queues/contracts";
import { STUCK_AFTER_MS, UNWORKED_AFTER_MS } from "@calendly-worker/core/queues/overdue";
import { createHeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { readAllLoads } from "@calendly-worker/core/store/queue-load";
import type { Installation } from "../installation.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

const MINUTE_MS = 60_000;

type Load = Awaited<ReturnType<typeof readAllLoads>>[number];

export async function lookAtQueues({ redis, shards, quarantine }: Installation): Promise<Finding[]> {
  const now = Date.now();
  const loads = await readAllLoads(redis, shards, now);
  const findings: Finding[] = [];
  const paused = loads.filter(({ isPaused }) => isPaused).map(({ name }) => name);
  if (paused.length > 0) {
    const advice = paused.map((queue) => `\`calendly queue resume --queue ${queue}\``).join(", ");
    findings.push(fault("queues", `Paused: ${paused.join(", ")}.`, `${advice} lets it go on.`));
  }
  // What is paused gets no heartbeats, and its jobs wait because somebody wants that.
  const going = loads.filter(({ isPaused }) => !isPaused);
  findings.push(...lookAtHeartbeats(going, await createHeartbeatStore(redis).last(), now), ...lookAtWait(going));
  const failed = loads.reduce((sum, load) => sum + load.failed, 0);
  if (failed > 0)
    findings.push(
      warning(
        "queues",
        `${failed} jobs have been given up.`,
        "`calendly queue failed` says why, `queue retry` tries again, `queue drop` deletes what is of no use.",
      ),
    );
  const kept = await quarantine.count(now);
  if (kept > 0)
    findings.push(
      warning("quarantine", `${kept} deliveries are in quarantine.`, "`calendly quarantine list` says why."),
    );
  return findings.length > 0 ? findings : [ok("queues", "Nothing is paused, stuck, given up or in quarantine.")];
}

/** A queue that no heartbeat has ever gone through belongs to an installation that is about to begin. */
function lookAtHeartbeats(loads: readonly Load[], last: ReadonlyMap<string, number>, now: number): Finding[] {
  const silent = loads.map(({ name }) => name).filter((name) => now - (last.get(name) ?? now) > UNWORKED_AFTER_MS);
  if (silent.length === 0) return [];
  const message = `Nobody works on ${silent.join(", ")}: no heartbeat has gone through for more than ${UNWORKED_AFTER_MS / MINUTE_MS} minutes.`;
  const advice =
    "`calendly queue status` shows what is active. Restart the workers: what they have begun is taken up again. After a pause, look again in two minutes.";
  return [fault("queues", message, advice)];
}

function lookAtWait(loads: readonly Load[]): Finding[] {
  const waitedMs = loads.find(({ name }) => name === deliveries.name)?.oldestJobMs ?? 0;
  if (waitedMs <= STUCK_AFTER_MS) return [];
  const message = `A delivery has waited for ${Math.floor(waitedMs / MINUTE_MS)} minutes.`;
  const advice =
    "`calendly queue status` says whether it waits for a worker or, delayed, for another try: then the worker's log says why (`job_failed`).";
  return [fault("queues", message, advice)];
}

export async function lookAtDestinations({ destinations }: Installation): Promise<Finding[]> {
  const all = await destinations.list();
  if (all.length === 0) return [];
  const findings: Finding[] = [];
  const paused = all.filter((one) => one.paused !== null);
  if (paused.length > 0) {
    const names = paused.map(({ id, paused: why }) => `${id} (${why})`).join(", ");
    const advice = "`calendly destinations resume <id>` lets one go on, with what has waited for it.";
    findings.push(warning("destinations", `Paused: ${names}.`, advice));
  }
  const losing = all.filter(({ deadLetters }) => deadLetters > 0);
  if (losing.length > 0) {
    const names = losing.map(({ id, deadLetters }) => `${id} (${deadLetters})`).join(", ");
    const advice =
      "`calendly destinations dead-letters <id>` says why, `destinations redeliver` pushes them again, `destinations drop` deletes what is of no use.";
    findings.push(warning("destinations", `Outcomes were not taken: ${names}.`, advice));
  }
  return findings.length > 0 ? findings : [ok("destinations", `Nothing is paused or given up for ${all.length}.`)];
}
