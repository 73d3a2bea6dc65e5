import { expect, test } from "@jest/globals";
import { findWriteRefusal } from "./write-refusal.ts";

test.each([
  ["OOM command not allowed when used memory > 'maxmemory'.", /memory/],
  ["OOM command not allowed when used memory > 'maxmemory'. script: 5e3, on @user_script:12.", /memory/],
  ["MISCONF Errors writing to the AOF file: No space left on device", /disk/],
  ["READONLY You can't write against a read only replica.", /replica/],
  ["NOREPLICAS Not enough good replicas to write.", /too few of its replicas/],
])("%s is known for a refusal of writes", (message, why) => {
  expect(findWriteRefusal(new Error(message))?.why).toMatch(why);
});

test("so is that of a transaction, by the errors of its commands", () => {
  const error = new Error("EXECABORT Transaction discarded because of previous errors.");
  expect(findWriteRefusal(error)).toBeUndefined();
  const previousErrors = [new Error("ERR unknown command"), new Error("READONLY You can't write")];
  expect(findWriteRefusal(Object.assign(error, { previousErrors }))?.why).toBe("it is a replica");
});

test.each(["WRONGTYPE Operation against a key", "no OOM"])("%s is none", (message) => {
  expect(findWriteRefusal(new Error(message))).toBeUndefined();
});
