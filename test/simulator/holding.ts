import type { Happening } from "./account.ts";
import type { Faults } from "./faults.ts";
import type { Message } from "./message.ts";
import type { Random } from "./random.ts";
import type { Subscription } from "./subscriptions.ts";

/** The copies of one delivery. */
type Copies = readonly Message[];

/**
 * What becomes of deliveries before they are sent: lost, doubled, delayed, held back, put in another order. Randomness is
 * drawn as they come, never after waiting, so that a seed gives the same choices whatever the network does.
 */
export function createHolding(ports: {
  readonly random: Random;
  readonly faults: Faults;
  readonly send: (messages: Copies) => void;
}) {
  const { random, faults, send } = ports;
  let held: Copies[] = [];
  let swapping: Copies | undefined;

  function isLost(): boolean {
    if (faults.dropNext > 0) {
      faults.dropNext -= 1;
      return true;
    }
    return faults.drop > 0 && random.next() < faults.drop;
  }

  function copiesOf(subscription: Subscription, happening: Happening, body: string): Copies {
    const spreadMs = Math.max(0, faults.delayMaxMs - faults.delayMinMs);
    return Array.from({ length: faults.duplicate }, () => ({
      subscription,
      happening,
      body,
      delayMs: faults.delayMinMs + (spreadMs > 0 ? random.next() * spreadMs : 0),
      phase: "held back",
      attempts: 0,
    }));
  }

  function releaseShuffled(): void {
    const order = random.shuffle(held);
    held = [];
    send(order.flat());
  }

  return {
    take(subscription: Subscription, happening: Happening, body: string): void {
      if (isLost()) return;
      const copies = copiesOf(subscription, happening, body);
      if (faults.swapNext && swapping === undefined) {
        swapping = copies;
      } else if (swapping !== undefined) {
        const first = swapping;
        swapping = undefined;
        faults.swapNext = false;
        send([...copies, ...first]);
      } else if (faults.reorder > 1 || held.length > 0) {
        held.push(copies);
        if (held.length >= faults.reorder) releaseShuffled();
      } else {
        send(copies);
      }
    },

    /** Lets go what reordering or swapping holds back for want of company. */
    release(): void {
      const waiting = swapping;
      swapping = undefined;
      if (waiting !== undefined) send(waiting);
      releaseShuffled();
    },

    held: (): readonly Message[] => [...(swapping ?? []), ...held.flat()],
  };
}
