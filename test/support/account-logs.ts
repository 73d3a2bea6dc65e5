import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { expect } from "@jest/globals";
import { factOf } from "../bookings/histories.ts";
import { play } from "../bookings/play.ts";
import { comparable, isCanonical, lastState } from "../bookings/sameness.ts";
import type { Account } from "../simulator/account.ts";
import type { Invitee } from "../simulator/meetings.ts";
import { bodyOf } from "./stack.ts";

/** Holds what was told of every booking of an account to what its history says, as if all had been delivered in time. */
export function expectEveryLogRight(account: Account, told: readonly OutcomeEvent[]): void {
  const ids = told.map(({ id }) => id);
  expect(ids.length).toBe(new Set(ids).size);
  const byBooking = Map.groupBy(told, ({ subject }) => subject);
  const bodies = Map.groupBy(account.history(), ({ payload }) => String(payload["uri"]));
  const roots = [...account.invitees.values()].filter(({ old }) => old === undefined);
  for (const root of roots) {
    const facts = chainOf(root).flatMap(({ uri }) =>
      (bodies.get(uri) ?? []).map((happening) => factOf(bodyOf(happening))),
    );
    const { outcomes } = play(root.id, facts);
    const events = byBooking.get(root.id) ?? [];
    expect(events.filter(isCanonical).map(comparable)).toEqual(outcomes.filter(isCanonical).map(comparable));
    expect(lastState(events)).toEqual(lastState(outcomes));
  }
}

/** Ids of the outcomes of all bookings' logs, as the account's history has them. */
export function idsOfLogs(account: Account): string[] {
  return [...account.invitees.values()].flatMap(({ id, old, status, next }) => [
    old === undefined ? `${id}.confirmed` : `${id}.rescheduled`,
    ...(status === "canceled" && next === undefined ? [`${id}.canceled`] : []),
  ]);
}

function chainOf(root: Invitee): Invitee[] {
  return root.next === undefined ? [root] : [root, ...chainOf(root.next)];
}
