/** What the overview page needs beside itself; nothing comes from elsewhere. */

export const OVERVIEW_CSS = `
:root { color-scheme: light dark;
  --text: light-dark(#1c2430, #e4e9f0); --faint: light-dark(#566273, #9aa7b8); --ground: light-dark(#f5f7fa, #12171e);
  --card: light-dark(#ffffff, #1a212b); --line: light-dark(#d5dbe4, #303a47); --link: light-dark(#0b57b8, #7db4ff);
  --good: light-dark(#176b34, #6fd08c); --bad: light-dark(#b3261e, #ff9a91); --warn: light-dark(#8a5200, #f2bd6b);
  --in: light-dark(#2f6fd0, #6ea8fe); --out: light-dark(#1f8a4c, #57c785); }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); }
header { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; align-items: baseline; padding: 0.8rem 1.2rem; border-bottom: 1px solid var(--line); background: var(--card); }
h1 { font-size: 1.15rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 0.5rem; } h3 { font-size: 0.95rem; margin: 0.8rem 0 0.3rem; }
header p { margin: 0 0 0 auto; color: var(--faint); font-size: 0.85rem; } nav { display: flex; gap: 1rem; }
a { color: var(--link); } a:focus-visible, button:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
button { font: inherit; font-size: 0.85rem; padding: 0.15rem 0.7rem; border: 1px solid var(--line); border-radius: 5px; background: var(--ground); color: var(--text); cursor: pointer; }
main { max-width: 84rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.9rem 1rem; margin: 0 0 1rem; min-width: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; } .columns section { margin: 0; }
.status { font-size: 1.1rem; font-weight: 600; margin: 0 0 1rem; padding: 0.6rem 1rem; border-radius: 8px; border: 1px solid currentColor; border-left-width: 6px; background: var(--card); }
.status small { font-weight: 400; color: var(--faint); margin-left: 0.5rem; } .status.ok { color: var(--good); } .status.degraded { color: var(--warn); } .status.down { color: var(--bad); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; font-weight: 400; }
thead th { color: var(--faint); font-size: 0.82rem; } tbody tr:last-child > * { border-bottom: 0; }
code { font: 0.86em ui-monospace, monospace; overflow-wrap: anywhere; } ul { margin: 0.3rem 0; padding-left: 1.1rem; } li { margin: 0.2rem 0; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .absent, .notices time { color: var(--faint); } time { white-space: nowrap; }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; max-height: 15rem; } svg text { fill: var(--faint); font-size: 11px; }
rect.accepted, .key.accepted { fill: var(--in); background: var(--in); } rect.published, .key.published { fill: var(--out); background: var(--out); }
.axis { stroke: var(--line); } .key { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-left: 0.6rem; } .key:first-child { margin-left: 0; }
@media (max-width: 40rem) { svg { overflow: visible; margin: 1.2rem 0; } svg text { font-size: 24px; } }
figcaption, summary { color: var(--faint); font-size: 0.88rem; } summary { cursor: pointer; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.25rem 1rem; margin: 0; } dt { color: var(--faint); } dd { margin: 0; } meter { width: 9rem; max-width: 100%; vertical-align: middle; }
`;

export const OVERVIEW_JS = `
"use strict";
const EVERY_MS = 5000;
const said = document.getElementById("refreshing");
const button = document.getElementById("pause");
let paused = false;
button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Refresh again" : "Stop refreshing";
  said.textContent = paused ? "Stands still" : "Refreshes itself every 5 s";
});
const main = document.getElementById("overview");
// Nothing is taken away from under whoever reads or has opened it.
const standsStill = () =>
  paused || document.hidden || main.contains(document.activeElement) || main.querySelector("details[open]");
async function refresh() {
  if (standsStill()) return;
  try {
    const response = await fetch("/ops", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
    if (!response.ok) throw new Error(String(response.status));
    const next = new DOMParser().parseFromString(await response.text(), "text/html");
    // Somebody may have stopped it, or begun to read, since it was asked for.
    if (standsStill()) return;
    main.replaceChildren(...next.getElementById("overview").childNodes);
    document.title = next.title;
    said.textContent = "Refreshes itself every 5 s";
  } catch {
    if (paused) return;
    document.title = "not reachable: Calendly worker";
    said.textContent = "The worker does not answer; this is what it said before";
  }
}
setInterval(refresh, EVERY_MS);
`;
