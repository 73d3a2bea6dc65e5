import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { SAFEGUARDS } from "./safeguards.ts";

const ROOT = new URL("../../", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, ROOT), "utf8");

// `pnpm safeguards` takes long; that it can take each of them away is seen at once.
test.each(SAFEGUARDS)(
  "$name stands in $file once, and the file of its test is there",
  ({ file, code, without, test: guard }) => {
    expect(read(file).split(code)).toHaveLength(2);
    expect(without).not.toBe(code);
    expect(existsSync(new URL(guard.file, ROOT))).toBe(true);
  },
);
