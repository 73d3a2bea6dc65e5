import { createHmac, timingSafeEqual } from "node:crypto";
import type { AddressInfo } from "node:net";
import { Queue } from "bullmq";
import express from "express";
import { z } from "zod";

// How deliveries are taken in most places: Express with `express.raw`, a schema of the whole payload, one `add` for each
// request, under an id that drops repeats, on BullMQ's own connection.

const { REDIS_URL = "", SIGNING_KEY = "" } = process.env;
const { hostname: host, port: redisPort } = new URL(REDIS_URL);

const uri = z.url();
const time = z.iso.datetime();
const delivery = z.object({
  event: z.string(),
  created_at: time,
  created_by: uri.nullable(),
  payload: z.object({
    uri,
    event: uri,
    email: z.email(),
    name: z.string(),
    first_name: z.string().nullable(),
    last_name: z.string().nullable(),
    status: z.enum(["active", "canceled"]),
    timezone: z.string().nullable(),
    questions_and_answers: z.array(z.object({ question: z.string(), answer: z.string(), position: z.number() })),
    tracking: z.record(z.string(), z.string().nullable()),
    created_at: time,
    updated_at: time,
    rescheduled: z.boolean(),
    old_invitee: uri.nullable(),
    new_invitee: uri.nullable(),
    cancel_url: uri,
    reschedule_url: uri,
    text_reminder_number: z.string().nullable(),
    payment: z.unknown().nullable(),
    cancellation: z.unknown().optional(),
    scheduled_event: z.object({
      uri,
      event_type: uri,
      name: z.string(),
      status: z.enum(["active", "canceled"]),
      start_time: time,
      end_time: time,
      location: z.looseObject({ type: z.string() }),
      event_memberships: z.array(z.object({ user: uri, user_email: z.email(), user_name: z.string() })),
      event_guests: z.array(z.unknown()),
      created_at: time,
      updated_at: time,
    }),
  }),
});

const queue = new Queue("deliveries", { connection: { host, port: Number(redisPort) } });
await queue.waitUntilReady();

const app = express();
app.post("/webhooks", express.raw({ type: "application/json", limit: "1mb" }), async (req, res) => {
  const header = req.get("calendly-webhook-signature") ?? "";
  const parts = new Map(header.split(",").map((part) => part.split("=", 2) as [string, string]));
  const expected = createHmac("sha256", SIGNING_KEY)
    .update(`${parts.get("t")}.`)
    .update(req.body)
    .digest("hex");
  const given = parts.get("v1") ?? "";
  if (given.length !== expected.length || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) {
    res.status(401).json({ error: "invalid signature" });
    return;
  }
  const read = delivery.safeParse(JSON.parse(req.body.toString("utf8")));
  if (!read.success) {
    res.status(400).json({ error: "invalid payload" });
    return;
  }
  const { event, payload } = read.data;
  await queue.add(event, read.data, { jobId: `${event}/${payload.uri.split("/").at(-1)}` });
  res.json({ status: "accepted" });
});

const server = app.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ msg: "ready for deliveries", url: `http://127.0.0.1:${port}` })}\n`);
});
process.on("SIGTERM", () => process.exit());
process.on("disconnect", () => process.exit());
