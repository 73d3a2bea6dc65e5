import { parseArgs } from "node:util";
import { openDatadog } from "./api.ts";
import { readMonitors, syncMonitors } from "./sync.ts";

const HELP = `Makes Datadog's monitors those of ops/datadog/monitors: creates and updates, deletes nothing, and touches no
monitor without the tag managed-by:calendly-worker. Run it again at any time.

Usage: DD_API_KEY=… DD_APP_KEY=… pnpm datadog:sync [options]

  --dry-run         only say what would be done
  --json            say it as JSON
  --api-url <url>   address of Datadog's API (default: that of DD_SITE, which is datadoghq.com by default)
  --help            this text

Exit code 0 when all are as they should be, 1 when something failed.
`;

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      "api-url": { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { DD_API_KEY: apiKey, DD_APP_KEY: appKey, DD_SITE: site } = process.env;
  if (!apiKey || !appKey) {
    throw new Error("expected DD_API_KEY and DD_APP_KEY in the environment: see Organization Settings at Datadog");
  }
  const api = await openDatadog({ apiKey, appKey, site, url: values["api-url"] });
  const isDryRun = values["dry-run"];
  const done = await syncMonitors(readMonitors(new URL("monitors/", import.meta.url)), api, { isDryRun });
  if (values.json) process.stdout.write(`${JSON.stringify({ dryRun: isDryRun, monitors: done }, null, 2)}\n`);
  else {
    for (const one of done) {
      const why =
        one.what === "failed" ? `: ${one.why}` : one.what === "left over" ? ": in no file; delete it at Datadog" : "";
      process.stdout.write(`${isDryRun ? "would be " : ""}${one.what.padEnd(10)} ${one.id}${why}\n`);
    }
  }
  return done.some(({ what }) => what === "failed") ? 1 : 0;
}
