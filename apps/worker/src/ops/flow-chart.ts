import type { FlowMinute } from "@calendly-worker/core/store/flow";
import { type Html, html } from "./html.ts";

const WIDTH = 720;
const HEIGHT = 150;
const TOP = 14;
const BOTTOM = 22;

/** What came in and what came out, minute by minute, as a picture and for those who cannot see it as a table. */
export function flowChart(minutes: readonly FlowMinute[]): Html {
  const sum = (of: (minute: FlowMinute) => number) => minutes.reduce((total, minute) => total + of(minute), 0);
  const totals = {
    accepted: sum(({ accepted }) => accepted),
    published: sum(({ published }) => published),
    refused: sum(({ refused }) => refused),
    failed: sum(({ failed }) => failed),
  };
  const most = Math.max(1, ...minutes.flatMap(({ accepted, published }) => [accepted, published]));
  const step = WIDTH / Math.max(minutes.length, 1);
  const heightOf = (count: number) => ((HEIGHT - TOP - BOTTOM) * count) / most;
  const bar = (kind: string, index: number, count: number, offset: number) => {
    const height = count === 0 ? 0 : Math.max(heightOf(count), 2);
    const [x, y] = [(index + offset) * step, HEIGHT - BOTTOM - height];
    return html`<rect class="${kind}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(step * 0.42).toFixed(1)}" height="${height.toFixed(1)}"></rect>`;
  };
  const bars = minutes.flatMap(({ accepted, published }, index) => [
    bar("accepted", index, accepted, 0.05),
    bar("published", index, published, 0.5),
  ]);
  const base = HEIGHT - BOTTOM;
  return html`<figure>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="In the last hour ${totals.accepted} deliveries were accepted and ${totals.published} outcomes published.">
<line class="axis" x1="0" x2="${WIDTH}" y1="${base}" y2="${base}"></line>
<line class="axis" x1="0" x2="${WIDTH}" y1="${TOP}" y2="${TOP}"></line>
<text x="0" y="${TOP - 3}">${most} a minute</text>
<text x="0" y="${HEIGHT - 6}">an hour ago</text>
<text x="${WIDTH}" y="${HEIGHT - 6}" text-anchor="end">now</text>
${bars}
</svg>
<figcaption><span class="key accepted"></span> ${totals.accepted} deliveries accepted
<span class="key published"></span> ${totals.published} outcomes published
· ${totals.refused} refused · ${totals.failed} tries that failed</figcaption>
<details><summary>As a table, by ten minutes</summary>${table(minutes)}</details>
</figure>`;
}

function table(minutes: readonly FlowMinute[]): Html {
  const tens = Array.from({ length: Math.ceil(minutes.length / 10) }, (_, index) =>
    minutes.slice(index * 10, index * 10 + 10),
  );
  const rows = tens.map((ten) => {
    const sum = (of: (minute: FlowMinute) => number) => ten.reduce((total, minute) => total + of(minute), 0);
    return html`<tr><th scope="row">from ${timeOf(ten[0]?.startedAt ?? 0)}</th><td>${sum(({ accepted }) => accepted)}</td><td>${sum(({ folded }) => folded)}</td><td>${sum(({ published }) => published)}</td><td>${sum(({ refused }) => refused)}</td><td>${sum(({ failed }) => failed)}</td></tr>`;
  });
  return html`<table><thead><tr><th scope="col">UTC</th><th scope="col">accepted</th><th scope="col">folded</th><th scope="col">published</th><th scope="col">refused</th><th scope="col">failed</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16);
}
