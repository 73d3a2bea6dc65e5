import { createHmac } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { createVerifier } from "./signature.ts";

// A vector computed independently of this code.
const KEY = "demo-signing-key-not-a-secret";
const TIME = 1_795_442_711;
const BODY = Buffer.from(
  '{"event":"invitee.created","created_at":"2026-11-23T14:05:11.000000Z","created_by":"https://api.calendly.com/users/AAAA","payload":{"note":"é ☕"}}',
);
const DIGEST = "5918834214caa5c1e00a4c6263479cdefec2e9fd450cc0bc1673b7431bb47f4b";

const OTHER = "another-key";
const sign = (key: string, time: number | string, body: Uint8Array = BODY) =>
  createHmac("sha256", key).update(`${time}.`).update(body).digest("hex");

function verifierAt(seconds: number, keys: string[] = [KEY]) {
  return createVerifier({
    keys: keys.map((key, index) => ({ name: index === 0 ? "primary" : "secondary", key })),
    windowSeconds: 300,
    now: () => seconds * 1_000,
  });
}

describe("a genuine delivery", () => {
  test("is recognised by the known vector, whose body is 149 bytes of UTF-8", () => {
    expect(BODY.length).toBe(149);
    expect(verifierAt(TIME)(`t=${TIME},v1=${DIGEST}`, BODY)).toEqual({ kind: "genuine", key: "primary" });
  });

  test("is recognised with white space, another order of parts, unknown parts and further signatures", () => {
    const header = ` v0=abc, v1=${"0".repeat(64)} , v1=${DIGEST}, t=${TIME} `;
    expect(verifierAt(TIME)(header, BODY)).toEqual({ kind: "genuine", key: "primary" });
  });

  test("says by name which key it was signed with", () => {
    const header = `t=${TIME},v1=${sign(OTHER, TIME)}`;
    expect(verifierAt(TIME, [KEY, OTHER])(header, BODY)).toEqual({ kind: "genuine", key: "secondary" });
  });

  test.each([-300, 300])("is accepted %i s from now, the edge of the window", (age) => {
    expect(verifierAt(TIME + age)(`t=${TIME},v1=${DIGEST}`, BODY).kind).toBe("genuine");
  });
});

describe("a forged delivery", () => {
  test("is refused when any one byte of the body differs", () => {
    for (let index = 0; index < BODY.length; index++) {
      const body = Buffer.from(BODY);
      body[index] = (body[index] ?? 0) ^ 1;
      expect(verifierAt(TIME)(`t=${TIME},v1=${DIGEST}`, body)).toEqual({ kind: "refused", code: "signature_mismatch" });
    }
  });

  test.each([
    ["another key", `t=${TIME},v1=${sign(OTHER, TIME)}`],
    ["another time than the signed one", `t=${TIME + 1},v1=${DIGEST}`],
    ["the same time written differently", `t=0${TIME},v1=${DIGEST}`],
    ["a digest of the body alone", `t=${TIME},v1=${createHmac("sha256", KEY).update(BODY).digest("hex")}`],
  ])("is refused when it was signed with %s", (_, header) => {
    expect(verifierAt(TIME)(header, BODY)).toEqual({ kind: "refused", code: "signature_mismatch" });
  });

  test.each([undefined, "", "  "])("is refused when the header is %j", (header) => {
    expect(verifierAt(TIME)(header, BODY)).toEqual({ kind: "refused", code: "signature_missing" });
  });

  test.each([
    DIGEST,
    KEY,
    `t=${TIME}`,
    `v1=${DIGEST}`,
    `t=,v1=${DIGEST}`,
    `t=now,v1=${DIGEST}`,
    `t=-${TIME},v1=${DIGEST}`,
    `t=${TIME}.5,v1=${DIGEST}`,
    `t=${TIME},t=${TIME},v1=${DIGEST}`,
    `t=${TIME},v1=${DIGEST.slice(1)}`,
    `t=${TIME},v1=${DIGEST.toUpperCase()}`,
    `t=${TIME},v1=${DIGEST}00`,
    `t=${"9".repeat(400)},v1=${DIGEST}`,
  ])("is refused when the header reads %s", (header) => {
    expect(verifierAt(TIME)(header, BODY)).toEqual({ kind: "refused", code: "signature_malformed" });
  });
});

describe("a genuine delivery outside the window", () => {
  test.each([301, 25 * 3_600])("is late when it is %i s old", (age) => {
    const verdict = verifierAt(TIME + age)(`t=${TIME},v1=${DIGEST}`, BODY);
    expect(verdict).toEqual({ kind: "late", key: "primary", signedAt: TIME });
  });

  test.each([
    ["ahead of the window", -301],
    ["older than Calendly's retries can be", 25 * 3_600 + 1],
  ])("is only refused when it is %s", (_, age) => {
    const verdict = verifierAt(TIME + age)(`t=${TIME},v1=${DIGEST}`, BODY);
    expect(verdict).toEqual({ kind: "refused", code: "timestamp_outside_window" });
  });

  test("is a mismatch when it is forged, however old it claims to be", () => {
    const verdict = verifierAt(TIME)(`t=${TIME - 3_600},v1=${DIGEST}`, BODY);
    expect(verdict).toEqual({ kind: "refused", code: "signature_mismatch" });
  });
});

test.each([[[]], [[""]], [[KEY, ""]]])("a verifier with the keys %j is refused", (keys) => {
  expect(() => verifierAt(TIME, keys)).toThrow("at least one signing key, and no empty one");
});
