import { parseArgs } from "node:util";
import { RestError } from "./rest-errors.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "./simulator.ts";

const HELP = `Calendly in a box: its API, and deliveries to whoever subscribes.

Usage: pnpm simulator [options]

  --port <number>          port to listen on; 0 takes a free one (default 4010)
  --host <address>         address to listen on (default 127.0.0.1)
  --seed <number>          whole number; makes a run repeatable: ids and random choices follow from it (default 1)
  --speed <factor>         how fast retries, the 24 hours and rate-limit windows run;
                           1 is real time, 1440 a day in a minute (default 1)
  --token <token>          the valid API token (default ${DEMO_TOKEN})
  --rate-limit <requests>  requests a minute of the simulator's schedule, for each user (default 500)
  --webhook-url <url>      subscribes this address at the start, for the whole organization:
                           invitees, no-shows, routing forms and event types (default: none)
  --signing-key <key>      key that its deliveries are signed with; needed with --webhook-url (default: none)
  --outcomes-url <url>     address of a worker whose outcomes the page shows (default: none)
  --outcomes-token <token> one of CALENDLY_CONSUMER_TOKENS, or OPS_API_TOKEN; needed with --outcomes-url (default: none)
  --help                   this text
`;

/** A second signal counts only after this: a terminal and a package manager may both pass on one Ctrl-C. */
const SECOND_SIGNAL_MS = 1_000;

/** Undefined when only the help was asked for. */
async function start(): Promise<Simulator | undefined> {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "4010" },
      host: { type: "string", default: "127.0.0.1" },
      seed: { type: "string", default: "1" },
      speed: { type: "string", default: "1" },
      token: { type: "string", default: DEMO_TOKEN },
      "rate-limit": { type: "string", default: "500" },
      "webhook-url": { type: "string" },
      "signing-key": { type: "string" },
      "outcomes-url": { type: "string" },
      "outcomes-token": { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return undefined;
  }
  const [url, key] = [values["webhook-url"], values["signing-key"]];
  if ((url === undefined) !== (key === undefined)) throw new Error("--webhook-url and --signing-key go together");
  const [outcomesUrl, outcomesToken] = [values["outcomes-url"], values["outcomes-token"]];
  if ((outcomesUrl === undefined) !== (outcomesToken === undefined))
    throw new Error("--outcomes-url and --outcomes-token go together");
  if (outcomesUrl !== undefined && !URL.canParse(outcomesUrl))
    throw new Error(`--outcomes-url: expected an address such as http://127.0.0.1:3001, got "${outcomesUrl}"`);
  if (values.token === "") throw new Error("--token: expected a token, got nothing");
  const simulator = await startSimulator({
    port: wholeOf("port", values.port, 0, 65_535),
    host: values.host,
    seed: wholeOf("seed", values.seed, 0),
    speed: numberOf("speed", values.speed, 0.001),
    rateLimit: wholeOf("rate-limit", values["rate-limit"], 1),
    token: values.token,
    onAttempt({ sentAt, event, about, status, body, error, attempt, ms }) {
      const answer = error ?? `${status} ${answerIn(body)}`.trim();
      const what = about.split("/").at(-1);
      process.stdout.write(`${sentAt.slice(11, 23)}  ${event}  ${what}  try ${attempt}  ${answer}  ${ms} ms\n`);
    },
  });
  if (url !== undefined && key !== undefined) simulator.subscribe(url, key);
  if (outcomesUrl !== undefined && outcomesToken !== undefined)
    simulator.showOutcomesOf({ url: outcomesUrl, token: outcomesToken });
  return simulator;
}

function numberOf(option: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < least)
    throw new Error(`--${option}: expected a number, ${least} or more, got "${text}"`);
  return value;
}

function wholeOf(option: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const value = numberOf(option, text, least);
  if (!Number.isInteger(value) || value > most)
    throw new Error(`--${option}: expected a whole number from ${least} to ${most}, got "${text}"`);
  return value;
}

function answerIn(body: unknown): string {
  if (typeof body !== "object" || body === null) return "";
  const { status, error } = body as { status?: string; error?: { code?: string } };
  return status ?? error?.code ?? "";
}

function sentenceOf(error: unknown): string {
  if (error instanceof RestError) return `--webhook-url: ${JSON.stringify(error.body)}`;
  if (!(error instanceof Error)) return String(error);
  const isTaken = "code" in error && error.code === "EADDRINUSE";
  return isTaken ? `the port is taken by another process: ${error.message}` : error.message;
}

function stayUp(simulator: Simulator): void {
  process.stdout.write(`listening on ${simulator.url}

  ${simulator.url}/_simulator/page    to book, move and cancel by hand, in a browser
  curl ${simulator.url}/_simulator                     what there is, and every call
  curl -H 'Authorization: Bearer <token>' ${simulator.url}/users/me
  curl ${simulator.url}/_simulator/book --json '{"eventType":"intro","start":"2030-01-15T15:00:00Z",
       "name":"Priya Nair","email":"priya.nair@acme-corp.example"}'

`);
  let stoppingSince: number | undefined;
  const stop = () => {
    if (stoppingSince !== undefined && performance.now() - stoppingSince > SECOND_SIGNAL_MS) process.exit(1);
    if (stoppingSince !== undefined) return;
    stoppingSince = performance.now();
    void simulator.close().then(() => process.exit(0));
  };
  for (const event of ["SIGINT", "SIGTERM", "disconnect"]) process.on(event, stop);
}

try {
  const simulator = await start();
  if (simulator !== undefined) stayUp(simulator);
} catch (error) {
  process.stderr.write(`${sentenceOf(error)}\nSee pnpm simulator --help.\n`);
  process.exit(1);
}
