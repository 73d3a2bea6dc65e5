// The page of the simulator: everything that one can do at Calendly by hand, and what comes of it.

const $ = (id) => document.getElementById(id);
const SHOWN = 60;

async function ask(path, body) {
  const response = await fetch(`/_simulator${path}`, {
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `answered ${response.status}`);
  return answer;
}

function element(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

async function doing(what, act) {
  try {
    await act();
    $("said").className = "good";
    $("said").textContent = what;
  } catch (error) {
    $("said").className = "bad";
    $("said").textContent = error.message;
  }
  await refresh();
}

const form = () => Object.fromEntries(new FormData($("booking")));
const timeOf = (start) => `${start.slice(5, 10)} ${start.slice(11, 16)}`;

async function showSlots() {
  const { slots } = await ask(`/slots?eventType=${encodeURIComponent(form().eventType)}`);
  $("slots").replaceChildren(
    ...slots.map((start) =>
      element("button", timeOf(start), {
        type: "button",
        onclick: () =>
          doing(`Booked ${timeOf(start)}`, async () => {
            const { eventType, name, email, reference } = form();
            const tracking = reference === "" ? {} : { tracking: { utm_content: reference } };
            await ask("/book", { eventType, start, name, email, ...tracking });
          }),
      }),
    ),
  );
}

function rowOf(invitee) {
  const { id, name, eventType, start, status, noShow } = invitee;
  const row = document.createElement("tr");
  const state = noShow ? "no-show" : status;
  row.append(element("td", name), element("td", eventType), element("td", timeOf(start)));
  row.append(element("td", state, { className: status === "active" ? "good" : "bad" }));
  const todo = document.createElement("td");
  const button = (text, what, act) =>
    element("button", text, {
      type: "button",
      ariaLabel: `${text} ${name}, ${timeOf(start)}`,
      onclick: () => doing(what, act),
    });
  if (status === "active") {
    todo.append(
      button("Move", "Moved to the next free time", async () => {
        const { slots } = await ask(`/slots?eventType=${encodeURIComponent(eventType)}`);
        const next = slots.find((slot) => slot > start) ?? slots[0];
        await ask("/reschedule", { invitee: id, start: next });
      }),
      " ",
      button("Cancel", "Canceled by the invitee", () => ask("/cancel", { invitee: id })),
      " ",
      button("Cancel as host", "Canceled by the host", () => ask("/cancel", { invitee: id, by: "host" })),
      " ",
      noShow
        ? button("Clear no-show", "No no-show after all", () => ask("/no-show/clear", { invitee: id }))
        : button("No-show", "Marked as a no-show", () => ask("/no-show", { invitee: id })),
    );
  }
  row.append(todo);
  return row;
}

/** Where one is in a table it is not drawn anew under one's fingers. */
let drawn = "";
async function showInvitees() {
  const { invitees } = await ask("/invitees");
  const now = JSON.stringify(invitees);
  if (now === drawn) return;
  drawn = now;
  $("invitees").replaceChildren(...invitees.map(rowOf));
  $("nobody").hidden = invitees.length > 0;
}

function prepend(list, entries) {
  list.prepend(...entries.toReversed());
  while (list.children.length > SHOWN) list.lastElementChild.remove();
}

let seenAttempts = 0;
async function showAttempts() {
  const attempts = await ask(`/attempts?after=${seenAttempts}`);
  seenAttempts += attempts.length;
  const entries = attempts.map(({ sentAt, event, about, status, body, error, attempt, ms }) => {
    const answer = error ?? `${status} ${body?.status ?? body?.error?.code ?? ""}`;
    const again = attempt > 1 ? `, try ${attempt}` : "";
    const className = status >= 200 && status < 300 ? "good" : "bad";
    const line = element("li", `${sentAt.slice(11, 19)} ${event} ${about.split("/").at(-1).slice(0, 8)}${again} → `);
    line.append(element("span", `${answer} (${ms} ms)`, { className }));
    return line;
  });
  prepend($("attempts"), entries);
}

let cursor = "";
async function showOutcomes() {
  const answer = await ask(`/outcomes?after=${encodeURIComponent(cursor)}`);
  $("outcomes-hint").textContent = answer.hint;
  cursor = answer.next ?? cursor;
  prepend(
    $("outcome-list"),
    answer.outcomes.map(({ time, type, subject }) =>
      element("li", `${time.slice(0, 19)} ${type} ${subject.slice(0, 8)}`),
    ),
  );
}

/** A switch for each fault: the value that it has now says which kind. */
function faultSwitch(name, value) {
  const label = element("label", name);
  const ends = ["included", "excluded"];
  const choices = {
    signatureTimeOnRetry: ["renewed", "frozen"],
    minStartTime: ends,
    maxStartTime: ends,
    api: ["well", "down", "garbage"],
  }[name];
  let input;
  if (choices !== undefined) {
    input = document.createElement("select");
    input.append(...choices.map((choice) => element("option", choice, { selected: choice === value })));
  } else if (typeof value === "boolean") {
    input = Object.assign(document.createElement("input"), { type: "checkbox", checked: value });
  } else {
    const step = name === "drop" ? 0.1 : 1;
    input = Object.assign(document.createElement("input"), { type: "number", step, value });
  }
  input.name = name;
  input.onchange = () => {
    const changed =
      choices !== undefined ? input.value : input.type === "checkbox" ? input.checked : Number(input.value);
    return doing(`${name}: ${changed}`, () => ask("/faults", { [name]: changed }));
  };
  label.append(input);
  return label;
}

const { eventTypes, faults: first, faultsWhenWell, subscriptions } = await ask("");
$("where").textContent =
  `The API is at ${location.origin}; what else there is to do: ${location.origin}/_simulator with curl`;
$("subscribers").textContent =
  subscriptions.length === 0
    ? "Nobody has subscribed: calendly webhooks register, or --webhook-url."
    : `To ${subscriptions.map(({ callback_url }) => callback_url).join(", ")}`;
$("event-types").append(
  ...eventTypes.filter(({ active }) => active).map(({ slug, name }) => element("option", name, { value: slug })),
);
$("event-types").onchange = () => doing("", async () => {});
$("booking").onsubmit = (event) => event.preventDefault();
const drawFaults = (faults) =>
  $("fault-switches").replaceChildren(...Object.entries(faults).map(([name, value]) => faultSwitch(name, value)));
drawFaults(first);
$("well").onclick = () => doing("All is well again", async () => drawFaults(await ask("/faults", faultsWhenWell)));
$("release").onclick = () => doing("Let go", () => ask("/release", {}));

async function refresh() {
  await Promise.all([showSlots(), showInvitees(), showAttempts(), showOutcomes()]);
}
await refresh();
setInterval(() => {
  if (!document.hidden) void Promise.all([showInvitees(), showAttempts(), showOutcomes()]).catch(() => {});
}, 1_000);
