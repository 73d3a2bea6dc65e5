import { expect, test } from "@jest/globals";
import { requireNode } from "./node-version.ts";

test.each(["24.0.0", "24.21.0", "26.1.0"])("Node %s will do", (version) => {
  expect(() => requireNode(version)).not.toThrow();
});

test.each(["8.17.0", "20.19.2", "23.11.1"])("Node %s is refused, and it is said which one will do", (version) => {
  expect(() => requireNode(version)).toThrow(`Node 24 or newer is needed, this is ${version}.`);
});

test("this one will do", () => {
  expect(() => requireNode()).not.toThrow();
});
