import { globSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";

/** Each outside package enters the repository by one door. `import type` is free. */
const DOORS: Readonly<Record<string, RegExp>> = {
  bullmq: /^packages\/core\/src\/queues\//,
  ioredis: /^packages\/core\/src\/redis\//,
  express: /^apps\/[^/]+\/src\//,
  pino: /^packages\/core\/src\/telemetry\//,
  "cluster-key-slot": /^packages\/core\/src\/redis\//,
  zod: /^packages\/core\/src\/(bookings|calendly|config|http-api|queues|outcomes)\//,
  "zod-openapi": /^packages\/core\/src\/http-api\//,
  standardwebhooks: /^packages\/core\/src\/outcomes\//,
  "ipaddr.js": /^packages\/core\/src\/outcomes\//,
  "prom-client": /^packages\/core\/src\/telemetry\//,
  "pino-pretty": /^packages\/core\/src\/telemetry\//,
  "dd-trace": /^packages\/core\/src\/telemetry\//,
  "dd-trace/initialize.mjs": /^packages\/core\/src\/telemetry\//,
  "rate-limiter-flexible": /^packages\/core\/src\/http-api\//,
  "@bull-board/api": /^apps\/worker\/src\/ops\//,
  "@bull-board/api/bullMQAdapter": /^apps\/worker\/src\/ops\//,
  "@bull-board/express": /^apps\/worker\/src\/ops\//,
  commander: /^apps\/cli\/src\//,
  "lru-cache": /^packages\/core\/src\/calendly\//,
  cockatiel: /^packages\/core\/src\/calendly\//,
};

/** Rooms that must not know others. */
const WALLS: readonly { readonly room: RegExp; readonly never: RegExp }[] = [
  { room: /^packages\/core\//, never: /apps\/|@calendly-worker\/(ingest|worker|supervisor|cli)/ },
  { room: /^packages\/core\/src\/bookings\//, never: /^\.\.\/|^node:/ },
  {
    room: /^packages\/core\/src\/calendly\//,
    never: /^\.\.\/(store|queues|outcomes|redis|config|telemetry|lifecycle)\//,
  },
  { room: /^apps\/ingest\//, never: /@calendly-worker\/(worker|supervisor|cli)|\/apps\// },
  { room: /^apps\/worker\//, never: /@calendly-worker\/(ingest|supervisor|cli)|\/apps\// },
  { room: /^apps\/cli\//, never: /@calendly-worker\/(ingest|worker|supervisor)|\/apps\// },
];

/** Words that only some files may use. */
const WORDS: readonly { readonly word: RegExp; readonly only: RegExp }[] = [
  { word: /\bprocess\.env\b/, only: /^packages\/core\/src\/config\// },
  {
    word: /\bprocess\.(exit|on)\(/,
    only: /^apps\/[^/]+\/src\/main\.ts$|^packages\/core\/src\/lifecycle\/run-app\.ts$/,
  },
  { word: /["'`]\{?calendly:/, only: /^packages\/core\/src\/redis\/keys\.ts$/ },
  { word: /\bconsole\./, only: /^$/ },
  { word: /^export default/m, only: /^$/ },
];

interface Source {
  readonly file: string;
  readonly text: string;
}

/** What a file must not do, as sentences. */
function faults({ file, text }: Source): string[] {
  const imports = [...text.matchAll(/^(?:import|export) (?!type\b)[^;]*?from "([^"]+)"|\bimport\("([^"]+)"\)/gms)];
  const names = imports.map(([, from, dynamic]) => from ?? dynamic ?? "");
  const opened = names.filter(
    (name) => !name.startsWith(".") && !name.startsWith("node:") && !name.startsWith("@calendly-worker/"),
  );
  return [
    ...opened.filter((name) => !DOORS[name]?.test(file)).map((name) => `${file} may not import ${name}`),
    ...WALLS.filter(({ room }) => room.test(file)).flatMap(({ never }) =>
      names.filter((name) => never.test(name)).map((name) => `${file} may not know ${name}`),
    ),
    ...WORDS.filter(({ word, only }) => word.test(text) && !only.test(file)).map(
      ({ word }) => `${file} may not use ${word}`,
    ),
  ];
}

const files = globSync("{apps,packages}/*/src/**/*.ts").filter((file) => !file.endsWith(".test.ts"));

test("the sources are found", () => expect(files.length).toBeGreaterThan(30));

test.each(files)("%s keeps to its room", (file) => {
  expect(faults({ file, text: readFileSync(file, "utf8") })).toEqual([]);
});

describe("the rules themselves", () => {
  test.each([
    ["packages/core/src/store/x.ts", 'import { Queue } from "bullmq";', "may not import bullmq"],
    ["apps/worker/src/x.ts", 'import {\n  Redis,\n} from "ioredis";', "may not import ioredis"],
    ["packages/core/src/store/x.ts", 'export { Queue } from "bullmq";', "may not import bullmq"],
    ["apps/worker/src/x.ts", 'await import("left-pad")', "may not import left-pad"],
    ["packages/core/src/bookings/x.ts", 'import { a } from "../redis/keys.ts";', "may not know ../redis/keys.ts"],
    ["packages/core/src/calendly/x.ts", 'import { a } from "../store/bookings.ts";', "may not know"],
    ["apps/ingest/src/x.ts", "const a = process.env.PATH;", "may not use"],
    ["packages/core/src/redis/x.ts", "process.exit(1)", "may not use"],
    ["packages/core/src/store/x.ts", 'const key = "{calendly:0}:x";', "may not use"],
  ])("would catch in %s: %s", (file, text, fault) => {
    expect(faults({ file, text }).join()).toContain(fault);
  });

  test("let types through", () => {
    expect(faults({ file: "packages/core/src/store/x.ts", text: 'import type { Redis } from "ioredis";' })).toEqual([]);
  });
});
