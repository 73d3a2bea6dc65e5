import { createRequire } from "node:module";

// Preloaded into an app (`node --import`): ends it with SIGKILL at its n-th command to Redis of a kind, before the command
// is sent or after its answer has come.
//
//   KILL_OF    job: by which a job changes or reads what is kept; BullMQ's own do not count. enqueue: that enqueue a delivery
//   KILL_AT    n, from 1
//   KILL_WHEN  before or after

interface Command {
  readonly args: readonly unknown[];
  readonly promise: Promise<unknown>;
}

const OURS = /\{calendly:0\}:(booking|index|waiting|unfinished|outcomes|host|event|erased|quarantine)\b/;
/** The adding of a job that asks for somebody; looking for such jobs goes on beside. */
const ASKING = /\{calendly:0\}:missing-halves:.*\/invitees\//s;
const ENQUEUING = /\{calendly:0\}:deliveries:.*invitee\.created/s;
const { KILL_OF = "job", KILL_AT, KILL_WHEN } = process.env;

const load = createRequire(new URL("../../packages/core/package.json", import.meta.url));
const { Redis } = load("ioredis") as {
  Redis: { prototype: { sendCommand(command: Command, ...rest: unknown[]): unknown } };
};
const send = Redis.prototype.sendCommand;
const counted = new WeakSet<Command>();
let count = 0;
let isArmed = false;

/** Starting has commands of its own; the first job's begin when its data is read. */
const isOfThatKind = ({ args }: Command) => {
  const text = args.map(String).join(" ");
  if (KILL_OF === "enqueue") return ENQUEUING.test(text);
  isArmed ||= /\{calendly:0\}:(erased|index|booking):/.test(text);
  return isArmed && (OURS.test(text) || ASKING.test(text));
};

Redis.prototype.sendCommand = function (command, ...rest) {
  const isNew = !counted.has(command) && isOfThatKind(command);
  counted.add(command);
  if (isNew) count += 1;
  const isIt = isNew && count === Number(KILL_AT);
  if (isIt && KILL_WHEN === "before") process.kill(process.pid, "SIGKILL");
  const sent = send.call(this, command, ...rest);
  if (isIt) command.promise.finally(() => process.kill(process.pid, "SIGKILL")).catch(() => {});
  return sent;
};
