import { globSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";

const ROOT = new URL("../", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, ROOT), "utf8");
const readme = read("README.md");

describe("the README", () => {
  const sources = globSync("apps/ingest/src/**/*.ts", { cwd: ROOT.pathname }).map(read).join("\n");
  const words = [...sources.matchAll(/kind: "(accepted|[a-z]+)" \} & Genuine/g)].map(([, word]) => word);
  const codes = [
    ...[...sources.matchAll(/answerError\(res, (?:\d+|status), "([a-z_]+)"/g)].map(([, code]) => code),
    ...[...sources.matchAll(/^ {2}(signature_\w+|timestamp_\w+):/gm)].map(([, code]) => code),
    ...[...sources.matchAll(/^ {2}(too_large|incomplete):/gm)].map(([, kind]) => `body_${kind}`),
  ];

  test("is held against what the ingest can answer", () => {
    expect(words).toHaveLength(5);
    expect(codes.length).toBeGreaterThanOrEqual(11);
  });

  test.each([...new Set([...words, ...codes])])("says when the ingest answers %s", (code) => {
    expect(readme).toMatch(new RegExp(`^\\| \\d{3} \\|[^|]*\`${code}\`[^|]*\\|`, "m"));
  });

  test.each([...readme.matchAll(/`pnpm ([a-z:]+)/g)].map(([, script]) => String(script)))(
    "names a script that exists: pnpm %s",
    (script) => {
      expect(Object.keys(JSON.parse(read("package.json")).scripts)).toContain(script);
    },
  );

  test.each([...readme.matchAll(/^\| `((?:apps|packages|test|docs)[a-z/]*)` \|/gm)].map(([, place]) => String(place)))(
    "names a place that exists: %s",
    (place) => {
      expect(globSync(place, { cwd: ROOT.pathname })).toEqual([place]);
    },
  );
});
