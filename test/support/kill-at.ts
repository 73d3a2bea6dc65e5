import { createRequire } from "node:module";

// Preloaded into a worker (`node --import`): ends it with SIGKILL at the n-th command to Redis by which a job changes or
// reads what is kept, before the command is sent or after its answer has come. BullMQ's own commands do not count.
//
//   KILL_AT    n, from 1
//   KILL_WHEN  before or after

interface Command {
  readonly args: readonly unknown[];
  readonly promise: Promise<unknown>;
}

const OURS = /\{calendly:0\}:(booking|index|waiting|unfinished|outcomes|host|event|erased|quarantine)\b/;
/** The adding of a job that asks for somebody; looking for such jobs goes on beside. */
const ASKING = /\{calendly:0\}:missing-halves:.*\/invitees\//s;
const { KILL_AT, KILL_WHEN } = process.env;

const load = createRequire(new URL("../../packages/core/package.json", import.meta.url));
const { Redis } = load("ioredis") as {
  Redis: { prototype: { sendCommand(command: Command, ...rest: unknown[]): unknown } };
};
const send = Redis.prototype.sendCommand;
const counted = new WeakSet<Command>();
let count = 0;
let isArmed = false;

/** Starting has commands of its own; the first job's begin when its data is read. */
const isOfAJob = ({ args }: Command) => {
  const text = args.map(String).join(" ");
  isArmed ||= /\{calendly:0\}:(erased|index|booking):/.test(text);
  return isArmed && (OURS.test(text) || ASKING.test(text));
};

Redis.prototype.sendCommand = function (command, ...rest) {
  const isNew = !counted.has(command) && isOfAJob(command);
  counted.add(command);
  if (isNew) count += 1;
  const isIt = isNew && count === Number(KILL_AT);
  if (isIt && KILL_WHEN === "before") process.kill(process.pid, "SIGKILL");
  const sent = send.call(this, command, ...rest);
  if (isIt) command.promise.finally(() => process.kill(process.pid, "SIGKILL")).catch(() => {});
  return sent;
};
