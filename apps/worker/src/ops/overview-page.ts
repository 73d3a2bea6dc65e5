import type { UnsafeRedis } from "@calendly-worker/core/redis/safety";
import { flowChart } from "./flow-chart.ts";
import { type Html, html } from "./html.ts";
import type { Overview, ShownCredentials } from "./overview.ts";
import { BOARD_PATH } from "./queue-board.ts";
import { REMEDIES } from "./remedies.ts";

/** The overview as a page. */
export function renderOverview(overview: Overview): string {
  const { health, at } = overview;
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${health.status}: Calendly worker</title>
<link rel="stylesheet" href="/ops/overview.css">
<link rel="icon" href="data:,">
<script src="/ops/overview.js" defer></script>
</head>
<body>
<header>
<h1>Calendly worker</h1>
<nav aria-label="Elsewhere"><a href="${BOARD_PATH}/">Queues</a> <a href="/api/docs">API</a> <a href="/metrics">Metrics</a></nav>
<p id="refreshing" role="status">Refreshes itself every 5 s</p>
<button type="button" id="pause" aria-pressed="false" hidden>Stop refreshing</button>
</header>
<main id="overview">
<p class="status ${health.status}">${STATUS[health.status]} <small>as of ${moment(at)} UTC</small></p>
${health.reasons.length === 0 ? undefined : reasons(overview)}
${section("flow", "The last hour", overview.flow, (flow) => flowChart(flow))}
<div class="columns">
${section("queues", "Queues", overview.queues, (queues) => queueTable(queues, at))}
${section("open", "Waits for a person", overview.counts, (counts) => openTable(counts, overview.queues))}
${section("keys", "Tokens and signing keys", overview.credentials, keys)}
${section("subscription", "Subscription and API", overview.credentials, (found) => subscription(found, at))}
${section("outcomes", "Newest outcomes", overview.outcomes, outcomeTable)}
${section("destinations", "Destinations", overview.destinations, destinationTable)}
${section("notices", "Notices", overview.notices, noticeList)}
${section("system", "Redis and processes", overview.redis, () => system(overview))}
${section("audit", "What people did", overview.actions, auditTable)}
</div>
</main>
</body>
</html>
`;
  return text;
}

const STATUS = {
  ok: "All is well",
  degraded: "Degraded: it works, and somebody should look",
  down: "Down: nothing is taken on",
} as const;

function reasons({ health }: Overview): Html {
  const items = health.reasons.map((reason) => {
    const { says, command } = REMEDIES[reason];
    return html`<li><strong>${reason}</strong> ${says} <code>${command}</code></li>`;
  });
  return html`<section aria-labelledby="what-to-do"><h2 id="what-to-do">What to do</h2><ul class="reasons">${items}</ul></section>`;
}

function section<T>(id: string, title: string, part: T | undefined, show: (part: T) => Html): Html {
  const content = part === undefined ? html`<p class="absent">This could not be read from Redis.</p>` : show(part);
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${content}</section>`;
}

/** `name` says what a table is for those who do not see where it stands. */
function table(name: string, columns: readonly string[], rows: readonly (readonly (Html | string | number)[])[]): Html {
  if (rows.length === 0) return html`<p class="absent">None.</p>`;
  const head = columns.map((column) => html`<th scope="col">${column}</th>`);
  const body = rows.map(
    ([first, ...others]) => html`<tr><th scope="row">${first}</th>${others.map((cell) => html`<td>${cell}</td>`)}</tr>`,
  );
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${name}"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function queueTable(queues: NonNullable<Overview["queues"]>, at: number): Html {
  const rows = queues.map(({ name, waiting, active, delayed, failed, isPaused, oldestJobMs, heartbeatAt }) => [
    html`<a href="${BOARD_PATH}/queue/${name}">${name}</a>${isPaused ? html` <em class="bad">paused</em>` : undefined}`,
    waiting,
    active,
    delayed,
    failed === 0 ? 0 : html`<a class="bad" href="${BOARD_PATH}/queue/${name}?status=failed">${failed}</a>`,
    oldestJobMs === undefined ? "–" : span(oldestJobMs),
    heartbeatAt === undefined ? "–" : `${span(at - heartbeatAt)} ago`,
  ]);
  return table("Queues", ["queue", "waiting", "active", "delayed", "failed", "oldest", "heartbeat"], rows);
}

function openTable(counts: NonNullable<Overview["counts"]>, queues: Overview["queues"]): Html {
  const failed = (queues ?? []).reduce((total, queue) => total + queue.failed, 0);
  const command = (text: string) => html`<code>${text}</code>`;
  const link = (href: string, count: number) =>
    count === 0 ? count : html`<a class="bad" href="${href}">${count}</a>`;
  return table(
    "Waits for a person",
    ["what", "how many", "where one acts"],
    [
      ["failed jobs", link(`${BOARD_PATH}/`, failed), command("pnpm calendly queue failed")],
      ["quarantined deliveries", counts.quarantined, command("pnpm calendly quarantine list")],
      ["incomplete bookings", counts.incomplete, command("pnpm calendly incomplete")],
      [
        "open conflicts",
        link("/api/outcomes?type=booking.conflict_detected", counts.conflicts),
        command("the host, at Calendly"),
      ],
    ],
  );
}

function keys({ tokens, signingKeys, lastDeliveryAt, advice }: ShownCredentials): Html {
  const rows = [
    ...tokens.map(({ slot, state, used }) => [`${slot} token`, badge(state, state === "active"), `${used} requests`]),
    ...signingKeys.map(({ slot, verified, lastUsedAt }) => [
      `${slot} signing key`,
      lastUsedAt === undefined ? "never used" : html`last used ${moment(lastUsedAt)} UTC`,
      `${verified} deliveries`,
    ]),
  ];
  const said = advice.map(({ message }) => html`<li>${message}</li>`);
  return html`${table("Tokens and signing keys", ["key", "state", "use"], rows)}
<p>Last verified delivery: ${lastDeliveryAt === null ? "none yet" : html`${moment(Date.parse(lastDeliveryAt))} UTC`}.</p>
${advice.length === 0 ? undefined : html`<h3>Advice</h3><ul>${said}</ul><p><code>pnpm calendly tokens status</code></p>`}`;
}

function subscription({ subscription: report, budget }: ShownCredentials, at: number): Html {
  const rows = (report?.subscriptions ?? []).map(({ uri, state, retryStartedAt }) => [
    uri.split("/").at(-1) ?? "",
    badge(state, state === "active"),
    retryStartedAt === null ? "no" : `for ${span(at - Date.parse(retryStartedAt))}`,
  ]);
  const problems = (report?.problems ?? []).map(({ message }) => html`<li>${message}</li>`);
  const { limit, left } = budget;
  const used = limit === undefined || left === undefined ? undefined : limit - left;
  const seen =
    report === null || report.checkedAt === null
      ? html`<p class="absent">Nobody has looked.</p>`
      : html`${table("Subscriptions", ["subscription", "state", "repeats"], rows)}
<p>Seen ${span(at - Date.parse(report.checkedAt))} ago.</p>`;
  return html`${seen}
${problems.length === 0 ? undefined : html`<ul>${problems}</ul><p><code>pnpm calendly webhooks list</code></p>`}
<p>${used === undefined ? "Calendly has told no limit of requests yet." : html`<label for="budget">Requests of this window: ${used} of ${limit}</label> <meter id="budget" min="0" max="${limit}" high="${Math.floor((limit ?? 0) * 0.8)}" value="${used}">${used}</meter>`}</p>`;
}

function outcomeTable(outcomes: NonNullable<Overview["outcomes"]>): Html {
  const rows = outcomes.map(({ type, subject, publishedAt }) => [
    moment(publishedAt),
    type,
    html`<a href="/api/bookings/${encodeURIComponent(subject)}">${subject.slice(0, 8)}</a>`,
  ]);
  return table("Newest outcomes", ["UTC", "outcome", "booking"], rows);
}

function destinationTable(destinations: NonNullable<Overview["destinations"]>): Html {
  const rows = destinations.map(({ id, host, waiting, failed, failures, paused }) => {
    const isWell = paused === undefined && failures === 0;
    const state =
      paused === undefined ? (failures === 0 ? "well" : `${failures} failures in a row`) : `paused, ${paused}`;
    return [html`<a href="${BOARD_PATH}/queue/push-${id}">${host}</a>`, badge(state, isWell), waiting, failed];
  });
  return table("Destinations", ["destination", "state", "waiting", "dead letters"], rows);
}

function noticeList(notices: NonNullable<Overview["notices"]>): Html {
  if (notices.length === 0) return html`<p class="absent">None.</p>`;
  const items = notices.map(
    ({ type, message, at }) =>
      html`<li><time>${at.slice(0, 16).replace("T", " ")}</time> <strong>${type}</strong> ${message}</li>`,
  );
  return html`<ul class="notices">${items}</ul>`;
}

function system({ redis, instances }: Overview): Html {
  if (redis === undefined) return html``;
  const { usedBytes, maxBytes, isPrimary, isPersistent, clients, waived } = redis;
  const fault = (name: UnsafeRedis, text: string) => (waived.includes(name) ? `${text} (waived)` : badge(text, false));
  const mega = (bytes: number) => `${Math.round(bytes / 1_048_576)} MiB`;
  return html`<dl>
<dt>Redis</dt><dd>${isPrimary ? "primary" : fault("replica", "replica")}, ${isPersistent ? "keeps its file" : fault("persistence", "keeps no file")}, ${clients} connections</dd>
<dt>Memory</dt><dd><label for="memory">${mega(usedBytes)} of ${mega(maxBytes)}</label> <meter id="memory" min="0" max="${maxBytes}" high="${Math.floor(maxBytes * 0.8)}" value="${usedBytes}">${mega(usedBytes)}</meter></dd>
<dt>Processes</dt><dd>${instances?.ingest ?? "?"} ingest, ${instances?.worker ?? "?"} worker</dd>
</dl>`;
}

function auditTable(actions: NonNullable<Overview["actions"]>): Html {
  const rows = actions.map(({ at, who, action, subject }) => [at.slice(0, 16).replace("T", " "), who, action, subject]);
  return table("What people did", ["UTC", "who", "action", "to what"], rows);
}

function badge(text: string, isWell: boolean): Html {
  return isWell ? html`<span class="good">${text}</span>` : html`<strong class="bad">${text}</strong>`;
}

/** With its day: what is long ago is not to look like today. */
function moment(ms: number): Html {
  return html`<time>${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}</time>`;
}

/** A time span in the largest unit that leaves a number worth reading. */
function span(ms: number): string {
  const seconds = Math.max(Math.round(ms / 1_000), 0);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
