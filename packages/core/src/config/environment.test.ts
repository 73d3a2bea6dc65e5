import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { readEnvironment } from "./environment.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "environment-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a .env file is read where there is one, and the environment wins over it", () => {
  writeFileSync(join(dir, ".env"), "# a comment\nLOG_LEVEL=debug\nINGEST_PORT=4000\n");
  expect(readEnvironment(dir, { LOG_LEVEL: "warn" })).toEqual({ LOG_LEVEL: "warn", INGEST_PORT: "4000" });
});

test("an empty variable does not hide what the .env file says", () => {
  writeFileSync(join(dir, ".env"), 'INGEST_PORT="4000"\n');
  expect(readEnvironment(dir, { INGEST_PORT: "" })).toEqual({ INGEST_PORT: "4000" });
});

test("without a .env file the environment is all there is", () => {
  expect(readEnvironment(dir, { LOG_LEVEL: "warn" })).toEqual({ LOG_LEVEL: "warn" });
});
