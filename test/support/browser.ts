import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer, { type Browser, type Page } from "puppeteer-core";

const SHOTS = new URL("../../.local/screenshots/", import.meta.url).pathname;
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const PROGRAMS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export interface Look {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly scheme: "light" | "dark";
}

export const LOOKS: readonly Look[] = [
  { name: "light", width: 1280, height: 900, scheme: "light" },
  { name: "dark", width: 1280, height: 900, scheme: "dark" },
  { name: "phone", width: 390, height: 844, scheme: "dark" },
];

/** Chromium, as Debian has it. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = PROGRAMS.find((program) => existsSync(program));
  if (executablePath === undefined) throw new Error("chromium is needed: it is Debian's package of that name");
  // Pages of loopback only: nothing of a browser's own business.
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"];
  return await puppeteer.launch({ executablePath, args });
}

export interface Visit {
  readonly page: Page;
  /** What the page has complained of: errors, violations of its policy, what could not be loaded. */
  readonly complaints: readonly string[];
  /** What axe-core finds wrong, in words. */
  accessibilityFindings(): Promise<string[]>;
  /** Writes a picture to .local/screenshots. */
  shoot(name: string): Promise<void>;
}

/** Opens a page as somebody who has typed in a password, and waits until it has come to rest. */
export async function visit(browser: Browser, url: string, look: Look, password?: string): Promise<Visit> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("response", (response) => {
    if (response.status() >= 400 && response.status() !== 401)
      complaints.push(`${response.url()}: ${response.status()}`);
  });
  if (password !== undefined) await page.authenticate({ username: "ann", password });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: look.scheme }]);
  await page.setViewport({ width: look.width, height: look.height });
  await page.goto(url, { waitUntil: "networkidle2" });
  return {
    page,
    complaints,
    async accessibilityFindings() {
      // By the devtools, so that the page's own policy stands.
      await page.setBypassCSP(false);
      const source = (await import("node:fs")).readFileSync(AXE, "utf8");
      await page.evaluate(source);
      const { violations } = (await page.evaluate("axe.run()")) as {
        violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[];
      };
      return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(
          ({ html, failureSummary }) => `${id}: ${help}: ${html.slice(0, 120)}: ${failureSummary.slice(0, 200)}`,
        ),
      );
    },
    async shoot(name) {
      mkdirSync(SHOTS, { recursive: true });
      await page.screenshot({ path: `${SHOTS}${name}-${look.name}.png`, fullPage: true });
    },
  };
}
