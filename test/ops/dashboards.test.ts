import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { stringify } from "yaml";
import { DASHBOARDS } from "../../ops/grafana/dashboards.ts";
import { describeWith } from "../support/tools.ts";
import { metricNamesIn } from "./expressions.ts";

const DIR = new URL("../../.local/dashboards/", import.meta.url).pathname;

/** As Grafana would fill it in. */
const filledIn = (expr: string) => expr.replaceAll("$__rate_interval", "1m");

describeWith("prometheus", "the dashboards", () => {
  describe.each(DASHBOARDS.map(({ uid }) => uid))("%s", (uid) => {
    const file = new URL(`../../ops/grafana/${uid}.json`, import.meta.url);
    const panels = JSON.parse(readFileSync(file, "utf8")).panels as {
      title: string;
      gridPos: { x: number; y: number; w: number; h: number };
      targets: { expr: string }[];
    }[];
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

    test("asks only for metrics that are declared", () => {
      expect(expressions.filter((expr) => metricNamesIn(expr).undeclared.length > 0)).toEqual([]);
      expect(expressions.filter((expr) => metricNamesIn(expr).used.length === 0)).toEqual([]);
    });

    test("asks in words that Prometheus understands", () => {
      mkdirSync(DIR, { recursive: true });
      const rules = expressions.map((expr, index) => ({ record: `panel:number${index}`, expr: filledIn(expr) }));
      writeFileSync(`${DIR}${uid}.yml`, stringify({ groups: [{ name: uid, rules }] }, { lineWidth: 0 }));
      const { stdout, stderr } = spawnSync("promtool", ["check", "rules", `${DIR}${uid}.yml`], { encoding: "utf8" });
      expect(`${stdout}${stderr}`).toContain(`SUCCESS: ${expressions.length} rules found`);
    });

    test("has no panel over another", () => {
      const cells = panels.flatMap(({ gridPos: { x, y, w } }) => Array.from({ length: w }, (_, i) => `${y}/${x + i}`));
      expect(new Set(cells).size).toBe(cells.length);
      expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
    });
  });

  test("a name that nobody declares is found", () => {
    expect(metricNamesIn("rate(calendly_delivries_total[5m])").undeclared).toEqual(["calendly_delivries_total"]);
  });
});
