// The events of log lines, as they stand in the sources.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const CALL =
  /\b(?:log|jobLog|ports\.log)(?:\.(trace|debug|info|warn|error|fatal)|\[level\])\(\s*(\{(?:[^{}]|\{[^{}]*\})*\}),\s*("(?:[^"\\]|\\.)*"|[a-zA-Z.]+),?\s*\)/g;
/** Whatever it is called on, but for what is not a logger. */
const ANY_CALL = /(?<!\b(?:redis|node|tracer))(?:\.(?:trace|debug|info|warn|error|fatal)|\[level\])\(/g;

/** Every call that logs: its level, the name of its event and its message, in order. Throws where one has no constant name. */
export function findLogEvents(root, eventOf) {
  const events = new Map();
  for (const file of globSync("{apps,packages}/*/src/**/*.ts", { cwd: root }).filter(
    (name) => !name.endsWith(".test.ts"),
  )) {
    const text = readFileSync(join(root, file), "utf8");
    const calls = [...text.matchAll(CALL)];
    const all = [...text.matchAll(ANY_CALL)].length;
    if (calls.length !== all)
      throw new Error(
        `${file}: expected log calls with an object and a constant message, ${all - calls.length} are others`,
      );
    for (const [, level = "info", facts, message] of calls) {
      const [, named] = /\bevent: "([a-z_]+)"/.exec(facts) ?? [];
      if (!message.startsWith('"') && named === undefined)
        throw new Error(`${file}: a log line whose message varies needs an event: ${message}`);
      const event = named ?? eventOf(JSON.parse(message));
      const known = events.get(event) ?? {
        level: new Set(),
        message: named ? "(varies)" : JSON.parse(message),
        files: new Set(),
      };
      known.level.add(level);
      known.files.add(file);
      events.set(event, known);
    }
  }
  return [...events].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** `docs/log-events.md`. */
export function renderLogEvents(root, eventOf) {
  const rows = findLogEvents(root, eventOf).map(
    ([event, { level, message, files }]) =>
      `| \`${event}\` | ${[...level].join(", ")} | ${message} | ${[...files].map((file) => `\`${file.replace("/src/", ": ")}\``).join(", ")} |`,
  );
  return `# Log events

Made by \`pnpm generate\` from the sources.

Each line is a JSON object: \`level\`, \`time\`, \`app\`, \`event\` (stable, for searches and alerts), \`msg\` (the same for people), and where it has
them \`identity\` or \`id\` (of the delivery's fact), \`booking\` or \`subject\`, \`outcome\`, \`queue\`, \`job\`, \`jobId\`, \`attempt\`, \`err\`, and \`dd\` with the
ids of the trace. Names, addresses, answers, keys and tokens are redacted at the logger. In a terminal the lines are for people
(\`LOG_FORMAT\`).

| event | level | message | where |
|---|---|---|---|
${rows.join("\n")}
`;
}
