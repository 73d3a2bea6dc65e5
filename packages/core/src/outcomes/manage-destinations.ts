import { randomBytes } from "node:crypto";
import type { PushCounts, PushDeadLetter, PushQueues } from "../queues/push-queues.ts";
import type { Destination, DestinationState, DestinationStore, PauseReason } from "../store/destinations.ts";
import type { ChangedDestination, DestinationView, NewDestination } from "./destination.ts";
import type { TargetGuard } from "./push-target.ts";

/** What a person or a program does with destinations. Undefined where there is none of that id. */
export interface DestinationManager {
  list(): Promise<DestinationView[]>;
  find(id: string): Promise<DestinationView | undefined>;
  /** Throws a TargetRefusedError. The secret is told here and never again. */
  add(wanted: NewDestination): Promise<DestinationView & { readonly secret: string }>;
  /** Throws a TargetRefusedError. */
  change(id: string, changes: ChangedDestination): Promise<DestinationView | undefined>;
  remove(id: string): Promise<boolean>;
  /** A new secret; deliveries are signed with the old one too for that time. */
  rotateSecret(id: string, overlapMs: number): Promise<(DestinationView & { readonly secret: string }) | undefined>;
  /** The newest first. */
  deadLetters(id: string, most: number): Promise<PushDeadLetter[] | undefined>;
  /** Pushes dead letters again: those of the outcomes, or all. Gives the outcomes' ids. */
  redeliver(id: string, wanted: WantedLetters): Promise<string[] | undefined>;
  /** Forgets dead letters: those of the outcomes, or all. Gives the outcomes' ids. */
  drop(id: string, wanted: WantedLetters): Promise<string[] | undefined>;
}

/** Dead letters that something is to be done to: those of the outcomes, or all. */
export interface WantedLetters {
  readonly outcomes?: readonly string[] | undefined;
  readonly dryRun: boolean;
}

const SECRET_BYTES = 32;

export function createDestinationManager(ports: {
  readonly destinations: DestinationStore;
  readonly queues: PushQueues;
  readonly guard: TargetGuard;
  readonly now: () => number;
}): DestinationManager {
  const { destinations, queues, guard, now } = ports;

  async function viewOf(destination: Destination): Promise<DestinationView> {
    const { id, url, types, eventTypes, hosts, ordered, concurrency, secrets, createdAt } = destination;
    const [state, counts] = await Promise.all([destinations.state(id), queues.counts(id)]);
    const at = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
    return {
      id,
      url,
      types: types as DestinationView["types"],
      eventTypes: eventTypes === null ? null : [...eventTypes],
      hosts: hosts === null ? null : [...hosts],
      ordered,
      concurrency,
      createdAt: new Date(createdAt).toISOString(),
      secretCount: liveSecrets(secrets, now()).length,
      paused: whyPaused(state, counts) ?? null,
      circuitOpenUntil: state.openUntil !== undefined && state.openUntil > now() ? at(state.openUntil) : null,
      failingSince: at(state.failingSince),
      lastDeliveredAt: at(state.lastDeliveredAt),
      lastFailure: state.lastFailure ?? null,
      waiting: counts.waiting,
      deadLetters: counts.failed,
    };
  }

  /** Where it breaks off, the destination is still said to be paused, and somebody does it again. */
  async function setPaused(id: string, isPaused: boolean): Promise<void> {
    if (isPaused) {
      await destinations.setPaused(id, "by hand");
      return await queues.pause(id);
    }
    await destinations.forgetFailures(id);
    await queues.release(id);
    await queues.resume(id);
    await destinations.setPaused(id, undefined);
  }

  /** Does something to dead letters, the oldest first; gives their outcomes' ids. */
  async function withLetters(
    id: string,
    { outcomes, dryRun }: WantedLetters,
    act: (job: string) => Promise<unknown>,
  ): Promise<string[] | undefined> {
    if ((await destinations.find(id)) === undefined) return undefined;
    const all = await queues.deadLetters(id, Number.MAX_SAFE_INTEGER);
    const wanted = all.filter((letter) => outcomes === undefined || outcomes.includes(letter.id)).toReversed();
    if (!dryRun) for (const { job } of wanted) await act(job);
    return wanted.map((letter) => letter.id);
  }

  return {
    async list() {
      return await Promise.all((await destinations.all()).map(viewOf));
    },
    async find(id) {
      const found = await destinations.find(id);
      return found === undefined ? undefined : await viewOf(found);
    },
    async add({ secret = newSecret(), ...wanted }) {
      await guard.check(wanted.url);
      const added = await destinations.add({ ...wanted, secrets: [{ value: secret }] });
      await queues.setConcurrency(added.id, added.concurrency);
      return { ...(await viewOf(added)), secret };
    },
    async change(id, { isPaused, ...changes }) {
      if ((await destinations.find(id)) === undefined) return undefined;
      // Before it is read to be changed: names are asked for meanwhile, and others may change it.
      if (changes.url !== undefined) await guard.check(changes.url);
      const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
      const changed = await destinations.update(id, (before) => ({ ...before, ...given }));
      if (changed === undefined) return undefined;
      await queues.setConcurrency(id, changed.concurrency);
      if (isPaused !== undefined) await setPaused(id, isPaused);
      return await viewOf(changed);
    },
    async remove(id) {
      const wasThere = await destinations.remove(id);
      if (wasThere) await queues.remove(id);
      return wasThere;
    },
    async rotateSecret(id, overlapMs) {
      const secret = newSecret();
      const rotated = await destinations.update(id, (before) => {
        const [newest] = before.secrets;
        const old = newest === undefined || overlapMs === 0 ? [] : [{ value: newest.value, until: now() + overlapMs }];
        return { ...before, secrets: [{ value: secret }, ...old] };
      });
      return rotated === undefined ? undefined : { ...(await viewOf(rotated)), secret };
    },
    async deadLetters(id, most) {
      if ((await destinations.find(id)) === undefined) return undefined;
      return await queues.deadLetters(id, most);
    },
    redeliver: (id, wanted) => withLetters(id, wanted, (job) => queues.redeliver(id, job)),
    drop: (id, wanted) => withLetters(id, wanted, (job) => queues.drop(id, job)),
  };
}

/** Why nothing is pushed; undefined where something is. Its queue alone may be paused too: on the queue dashboard, by hand. */
export function whyPaused(
  { paused }: Pick<DestinationState, "paused">,
  { isPaused }: Pick<PushCounts, "isPaused">,
): PauseReason | undefined {
  return paused ?? (isPaused ? "by hand" : undefined);
}

/** The secrets that deliveries are signed with now, the newest first. */
export function liveSecrets(secrets: Destination["secrets"], now: number): string[] {
  return secrets.filter(({ until }) => until === undefined || until > now).map(({ value }) => value);
}

function newSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString("base64")}`;
}
