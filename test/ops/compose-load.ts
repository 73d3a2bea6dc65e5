import { createdBody, newInvitee } from "../support/bookings.ts";
import { deliver, signatureHeader } from "../support/deliveries.ts";
import { until } from "../support/until.ts";

/** What became of deliveries that were sent at a steady rate. */
export interface Sent {
  /** Ids of the invitees whose delivery was answered 200. */
  readonly accepted: readonly string[];
  /** What else was answered, or went wrong, by how often. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Sends a delivery every so many milliseconds, each about a booking of its own, whatever becomes of those before. */
export function startDeliveries(url: string, signingKey: string, everyMs: number) {
  const sent: Promise<{ readonly id: string; readonly answer: string }>[] = [];
  const timer = setInterval(() => {
    const invitee = newInvitee();
    const body = createdBody(invitee);
    const answered = deliver(url, body, { signature: signatureHeader(body, signingKey) }).then(
      ({ status, body: { status: word } }) => `${status} ${word ?? ""}`.trim(),
      (error: Error) => `no answer: ${error.cause instanceof Error ? error.cause.message : error.message}`,
    );
    sent.push(answered.then((answer) => ({ id: invitee.id, answer })));
  }, everyMs);
  return {
    async stop(): Promise<Sent> {
      clearInterval(timer);
      const all = await Promise.all(sent);
      const [accepted, refused] = [true, false].map((is) =>
        all.filter(({ answer }) => (answer === "200 accepted") === is),
      );
      const byAnswer = Map.groupBy(refused ?? [], ({ answer }) => answer);
      return {
        accepted: (accepted ?? []).map(({ id }) => id),
        refused: Object.fromEntries([...byAnswer].map(([answer, group]) => [answer, group.length])),
      };
    },
  };
}

interface Page {
  readonly outcomes: readonly { readonly id: string }[];
  readonly next: string;
}

/** All outcomes' ids, as an internal service reads them. */
async function outcomeIds(workerUrl: string, token: string): Promise<string[]> {
  const ids: string[] = [];
  for (let after = ""; ; ) {
    const query = new URLSearchParams({ limit: "500", ...(after === "" ? {} : { after }) });
    const answer = await fetch(`${workerUrl}/api/outcomes?${query}`, { headers: { authorization: `Bearer ${token}` } });
    if (answer.status !== 200) throw new Error(`/api/outcomes answered ${answer.status}`);
    const page = (await answer.json()) as Page;
    if (page.outcomes.length === 0) return ids;
    ids.push(...page.outcomes.map(({ id }) => id));
    after = page.next;
  }
}

/** How many of these bookings were never confirmed, and how many more than once. Waits for those that are on their way. */
export async function missed(
  workerUrl: string,
  token: string,
  accepted: readonly string[],
): Promise<{ readonly lost: number; readonly doubled: number }> {
  const look = async () => {
    const times = Map.groupBy(await outcomeIds(workerUrl, token), (id) => id);
    const counts = accepted.map((id) => times.get(`${id}.confirmed`)?.length ?? 0);
    return {
      lost: counts.filter((count) => count === 0).length,
      doubled: counts.filter((count) => count > 1).length,
    };
  };
  await until("every delivery has its outcome", async () => (await look()).lost === 0, {
    deadlineMs: 60_000,
    everyMs: 500,
  }).catch(() => {});
  return await look();
}
