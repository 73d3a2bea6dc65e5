import { expect, test } from "@jest/globals";
import { signatureHeader } from "./signature.ts";

test("a delivery is signed by Calendly's rule, as the known vector shows", () => {
  const body =
    '{"event":"invitee.created","created_at":"2026-11-23T14:05:11.000000Z","created_by":"https://api.calendly.com/users/AAAA","payload":{"note":"é ☕"}}';
  const digest = "5918834214caa5c1e00a4c6263479cdefec2e9fd450cc0bc1673b7431bb47f4b";
  expect(signatureHeader("demo-signing-key-not-a-secret", 1_795_442_711, body)).toBe(`t=1795442711,v1=${digest}`);
});
