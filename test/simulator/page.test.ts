import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Browser } from "puppeteer-core";
import { LOOKS, startBrowser, type Visit, visit } from "../support/browser.ts";
import { SIGNING_KEY } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { describeWith } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "./simulator.ts";

const OPS = "ops-token-of-the-tests";

describeWith("chromium", "the simulator's page", () => {
  let server: RedisServer;
  let simulator: Simulator;
  let stack: Stack;
  let browser: Browser;

  beforeAll(async () => {
    server = await startRedis();
    simulator = await startSimulator({ seed: 3 });
    stack = await startStack(server.url, {
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      OPS_API_TOKEN: OPS,
    });
    simulator.subscribe(stack.ingest.webhookUrl, SIGNING_KEY);
    simulator.showOutcomesOf({ url: String((await stack.worker.untilLogged("listening"))["url"]), token: OPS });
    browser = await startBrowser();
  });

  afterAll(async () => {
    await browser.close();
    await stack.stop();
    await simulator.close();
    await server.stop();
  });

  const textOf = ({ page }: Visit, id: string) =>
    page.evaluate(`document.getElementById("${id}").textContent`) as Promise<string>;
  const shows = (seen: Visit, id: string, text: string) =>
    until(`${id} shows ${text}`, async () => (await textOf(seen, id)).includes(text));
  /** Clicks the first button that says so. */
  async function click(seen: Visit, text: string): Promise<void> {
    const find = `[...document.querySelectorAll("button")].find((button) => button.textContent === ${JSON.stringify(text)})`;
    await until(`there is a button ${text}`, () => seen.page.evaluate(`${find} !== undefined`));
    await seen.page.evaluate(`${find}.click()`);
  }

  test("lets one book, move, mark and cancel with clicks, and shows what comes of it", async () => {
    const seen = await visit(browser, `${simulator.url}/_simulator`, LOOKS[0] as (typeof LOOKS)[number]);
    expect(seen.page.url()).toBe(`${simulator.url}/_simulator/page`);
    await until("there are free times", () =>
      seen.page.evaluate("document.querySelectorAll('#slots button').length > 5"),
    );
    await seen.page.evaluate("document.querySelector('#slots button').click()");
    await shows(seen, "said", "Booked");
    await shows(seen, "attempts", "200 accepted");
    await shows(seen, "outcome-list", "booking.confirmed");
    await click(seen, "Move");
    await shows(seen, "outcome-list", "booking.rescheduled");
    await click(seen, "No-show");
    await shows(seen, "outcome-list", "booking.no_show");
    await click(seen, "Clear no-show");
    await shows(seen, "outcome-list", "booking.no_show_cleared");
    await click(seen, "Cancel as host");
    await shows(seen, "outcome-list", "booking.canceled");
    expect(simulator.account.history().map(({ event }) => event)).toEqual([
      "invitee.created",
      "invitee.canceled",
      "invitee.created",
      "invitee_no_show.created",
      "invitee_no_show.deleted",
      "invitee.canceled",
    ]);
    expect(seen.complaints).toEqual([]);
  });

  test("switches faults on and off", async () => {
    const seen = await visit(browser, `${simulator.url}/_simulator/page`, LOOKS[0] as (typeof LOOKS)[number]);
    for (const [name, value] of [
      ["api", "down"],
      ["duplicate", "2"],
      ["signatureTimeOnRetry", "frozen"],
      ["minStartTime", "excluded"],
    ]) {
      await seen.page.evaluate(
        `{ const input = document.querySelector('[name="${name}"]'); input.value = "${value}"; input.dispatchEvent(new Event("change")); }`,
      );
      await shows(seen, "said", `${name}: ${value}`);
    }
    expect(simulator.faults).toMatchObject({
      api: "down",
      duplicate: 2,
      signatureTimeOnRetry: "frozen",
      minStartTime: "excluded",
    });
    await click(seen, "All is well again");
    await shows(seen, "said", "All is well again");
    expect(simulator.faults).toMatchObject({ api: "well", duplicate: 1, signatureTimeOnRetry: "renewed" });
  });

  test("says what is refused", async () => {
    const seen = await visit(browser, `${simulator.url}/_simulator/page`, LOOKS[0] as (typeof LOOKS)[number]);
    await seen.page.evaluate(
      `document.querySelector('[name="drop"]').value = "7"; document.querySelector('[name="drop"]').dispatchEvent(new Event("change"))`,
    );
    await shows(seen, "said", "drop");
    expect(await seen.page.evaluate("document.getElementById('said').className")).toBe("bad");
    expect(simulator.faults.drop).toBe(0);
  });

  test.each(LOOKS)("is as it should be in $name", async (look) => {
    const seen = await visit(browser, `${simulator.url}/_simulator/page`, look);
    await until("there are free times", () =>
      seen.page.evaluate("document.querySelectorAll('#slots button').length > 5"),
    );
    await seen.shoot("simulator");
    expect(seen.complaints).toEqual([]);
    expect(await seen.accessibilityFindings()).toEqual([]);
    expect(await seen.page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(look.width);
  });
});
