import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Browser } from "puppeteer-core";
import { createApiClient } from "../support/api-client.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { LOOKS, startBrowser, visit } from "../support/browser.ts";
import { deliver, signatureHeader } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { describeWith } from "../support/tools.ts";
import { until } from "../support/until.ts";

const OPS = "ops-token-of-the-tests";

describeWith("chromium", "in a browser", () => {
  let server: RedisServer;
  let stack: Stack;
  let face: string;
  let browser: Browser;

  /** An installation to which all sorts of things have happened. */
  beforeAll(async () => {
    server = await startRedis();
    stack = await startStack(server.url, { OPS_API_TOKEN: OPS, CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8" });
    face = String((await stack.worker.untilLogged("listening"))["url"]);
    const people = Array.from({ length: 12 }, () => newInvitee());
    for (const person of people) await deliver(stack.ingest.webhookUrl, createdBody(person));
    await stack.outcomes.untilThere(people.map(({ id }) => `${id}.confirmed`));
    const forged = createdBody(newInvitee());
    await deliver(stack.ingest.webhookUrl, forged, { signature: signatureHeader(forged, "a-guessed-key") });
    await deliver(
      stack.ingest.webhookUrl,
      JSON.stringify({ event: "invitee.created", created_at: "2026-11-24T09:30:00Z", payload: {} }),
    );
    const api = createApiClient(face, OPS);
    await api("POST", "/api/destinations", { url: "http://127.0.0.1:9/outcomes" });
    await until("what has flowed is written down", async () => {
      const { body } = await api("GET", "/ops");
      return body.includes("12 deliveries accepted") && body.includes("12 outcomes published");
    });
    browser = await startBrowser();
  });

  afterAll(async () => {
    await browser.close();
    await stack.stop();
    await server.stop();
  });

  describe.each([
    { name: "overview", path: "/ops", shows: "12 outcomes published" },
    { name: "queues", path: "/ops/queues/", shows: "conference-links" },
    // Bull Board's page of one queue: its looks are its own.
    { name: "queue", path: "/ops/queues/queue/deliveries?status=completed", shows: "[redacted", isForeign: true },
  ])("the page of the $name", ({ name, path, shows, isForeign = false }) => {
    test.each(LOOKS)("is as it should be in $name", async (look) => {
      const seen = await visit(browser, `${face}${path}`, look, OPS);
      const text = () => seen.page.evaluate("document.body.textContent") as Promise<string>;
      await until("the page shows what there is", async () => (await text()).includes(shows));
      await seen.shoot(name);
      expect(seen.complaints).toEqual([]);
      if (isForeign) return;
      await until("the page has come to rest", async () => (await seen.accessibilityFindings()).length === 0).catch(
        () => {},
      );
      expect(await seen.accessibilityFindings()).toEqual([]);
      const widest = await seen.page.evaluate("document.documentElement.scrollWidth");
      expect(widest).toBeLessThanOrEqual(look.width);
    });
  });

  test("what was used once is told with its day", async () => {
    const { body } = await createApiClient(face, OPS)("GET", "/ops");
    expect(body).toMatch(/<td>last used <time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d<\/time> UTC<\/td>/);
    expect(body).toMatch(/Newest outcomes.*<th scope="row"><time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d<\/time><\/th>/s);
  });

  test("what a page complains of is heard", async () => {
    const seen = await visit(browser, `${face}/ops`, LOOKS[0] as (typeof LOOKS)[number], OPS);
    await seen.page.evaluate(`document.head.append(Object.assign(document.createElement("script"), { textContent: "1" }));
    document.body.append(Object.assign(document.createElement("button"), { id: "nameless" }))`);
    await until("the policy is said to be violated", () =>
      seen.complaints.some((line) => line.includes("Content Security Policy")),
    );
    expect((await seen.accessibilityFindings()).join()).toContain("button-name");
  });

  test("the overview refreshes itself, stands still when told, and by the keyboard", async () => {
    const { page } = await visit(browser, `${face}/ops`, LOOKS[0] as (typeof LOOKS)[number], OPS);
    const saidAt = () => page.evaluate("document.querySelector('.status small').textContent") as Promise<string>;
    const first = await saidAt();
    await until("it is newer", async () => (await saidAt()) !== first, { deadlineMs: 15_000 });
    // By the keyboard alone: the links of the header, then the button.
    for (let presses = 0; presses < 10; presses++) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate("document.activeElement.id")) === "pause") break;
    }
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.getElementById('pause').getAttribute('aria-pressed')")).toBe("true");
    expect(await page.evaluate("document.getElementById('refreshing').textContent")).toBe("Stands still");
    // Where the keyboard is in the page, it stands still anyway.
    await page.evaluate("document.activeElement.blur()");
    const stood = await saidAt();
    const from = performance.now();
    await until("it would have refreshed twice", () => performance.now() - from > 10_500, { deadlineMs: 15_000 });
    expect(await saidAt()).toBe(stood);
  });

  test("the overview stands still from the moment in which it is told, also where it was being refreshed", async () => {
    const { page } = await visit(browser, `${face}/ops`, LOOKS[0] as (typeof LOOKS)[number], OPS);
    // It is told when the answer has come, and before that is read.
    await page.evaluate(`
      const ask = window.fetch;
      window.fetch = async (...request) => {
        const response = await ask(...request);
        document.getElementById("pause").click();
        window.shown = document.getElementById("overview").firstElementChild;
        const read = () => response.text();
        const ok = response.ok;
        return { ok, text: () => read().finally(() => setTimeout(() => { window.isRead = true; })) };
      };`);
    await until("an answer has come and was dealt with", () => page.evaluate("window.isRead"), { deadlineMs: 15_000 });
    expect(await page.evaluate("document.getElementById('pause').getAttribute('aria-pressed')")).toBe("true");
    expect(await page.evaluate("document.getElementById('refreshing').textContent")).toBe("Stands still");
    expect(await page.evaluate("window.shown.isConnected")).toBe(true);
  });

  test("the overview says so when Redis is away, and what it last knew is not shown as new", async () => {
    await server.freeze();
    const { page } = await visit(browser, `${face}/ops`, LOOKS[0] as (typeof LOOKS)[number], OPS);
    const text = (await page.evaluate("document.body.textContent")) as string;
    await server.thaw();
    expect(text).toContain("Down: nothing is taken on");
    expect(text).toContain("redis_not_writable");
    expect(text).toContain("This could not be read from Redis.");
  });
});
