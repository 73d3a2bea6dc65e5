import { type DestinationStream, type Logger, pino } from "pino";
import pretty from "pino-pretty";

export type { Logger } from "pino";

/**
 * Names under which personal data and secrets travel through the project. What is logged by mistake under one of them,
 * at the top or one or two levels down, does not reach the output.
 */
const SENSITIVE: ReadonlySet<string> = new Set([
  "email",
  "name",
  "firstName",
  "lastName",
  "first_name",
  "last_name",
  "phone",
  "text_reminder_number",
  "answers",
  "questions_and_answers",
  "cancelUrl",
  "rescheduleUrl",
  "cancel_url",
  "reschedule_url",
  "body",
  "payload",
  "key",
  "token",
  "authorization",
  "password",
]);
const LEVELS = 3;

/**
 * What is logged, with the values under those names struck out; itself where there are none. By hand, as pino's own
 * redaction by paths costs a tenth of what a delivery costs (`pnpm bench`).
 */
function censored<Facts extends object>(facts: Facts, levels = LEVELS): Facts {
  let copy: Record<string, unknown> | undefined;
  for (const [name, value] of Object.entries(facts)) {
    const told = SENSITIVE.has(name)
      ? "[redacted]"
      : isToBeLookedInto(value, levels)
        ? censored(value, levels - 1)
        : value;
    if (told === value) continue;
    copy ??= (Array.isArray(facts) ? [...facts] : { ...facts }) as Record<string, unknown>;
    copy[name] = told;
  }
  return (copy as Facts | undefined) ?? facts;
}

/** Of an error only some parts are told anyway, see `describeError`. */
function isToBeLookedInto(value: unknown, levels: number): value is object {
  return levels > 1 && typeof value === "object" && value !== null && !(value instanceof Error);
}

const events = new Map<string, string>();

/** The name of a log line's event: its constant message in small letters, as `docs/log-events.md` lists them. */
export function eventOf(message: string): string {
  const known = events.get(message);
  if (known !== undefined) return known;
  const event = message
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^_|_$/g, "");
  events.set(message, event);
  return event;
}

/** Each line bears the name of its event; one whose message varies brings it along. */
function withEvent(args: readonly unknown[]): readonly unknown[] {
  const [facts, message] = args;
  if (typeof facts !== "object" || facts === null || typeof message !== "string" || "event" in facts) return args;
  return [{ event: eventOf(message), ...facts }, message];
}

function isForPeople(format: "auto" | "json" | "pretty" = "auto"): boolean {
  return format === "pretty" || (format === "auto" && process.stdout.isTTY === true);
}

function forPeople(): DestinationStream {
  return pretty({
    ignore: "app,pid,hostname,event",
    translateTime: "SYS:HH:MM:ss.l",
    messageFormat: "{app}  {msg}",
    sync: true,
  });
}

/** Lines on standard output, JSON or for people, unless another sink is given. */
export function createLogger(options: {
  readonly app: string;
  readonly level: string;
  /** `auto` by default: for people where standard output is a terminal. */
  readonly format?: "auto" | "json" | "pretty";
  readonly sink?: DestinationStream;
}): Logger {
  return pino(
    {
      level: options.level,
      base: { app: options.app },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: censored, bindings: censored },
      serializers: { err: describeError },
      hooks: {
        logMethod(args, method) {
          method.apply(this, withEvent(args) as Parameters<typeof method>);
        },
      },
    },
    options.sink ?? (isForPeople(options.format) ? forPeople() : pino.destination({ dest: 1, sync: true })),
  );
}

/**
 * What a log line says of an error. Only these parts: ioredis puts the failed command with its arguments on its
 * errors, and those hold whole deliveries.
 */
export function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  const errors = error instanceof AggregateError ? { errors: error.errors.map(describeError) } : {};
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) };
  // What JSON.parse could not read is quoted in its message, and in the stack, which begins with that.
  const message = error instanceof SyntaxError ? error.message.replace(/".*"/s, '"…"') : error.message;
  const calls = error.stack?.split("\n").filter((line) => line.startsWith("    at ")) ?? [];
  const stack = [`${error.name}: ${message}`, ...calls].join("\n");
  return { type: error.name, message, ...code, stack, ...errors, ...cause };
}
