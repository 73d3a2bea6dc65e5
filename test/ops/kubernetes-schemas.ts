import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { type Manifest, type Manifests, nameOf } from "./kubernetes-builds.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const DIR = `${ROOT}.local/kubernetes/types`;

/** The package that has the models of an API. */
function modelOf({ apiVersion, kind }: Manifest): string {
  const [group] = String(apiVersion).split("/");
  const packages: Readonly<Record<string, string>> = {
    "keda.sh": "@kubernetes-models/keda",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  };
  return `${packages[group ?? ""] ?? "kubernetes-models"}/${apiVersion}/${kind}`;
}

/** What the JSON schemas of Kubernetes' API, of KEDA and of the Prometheus operator find wrong. They let unknown fields pass. */
export async function schemaFaults(manifests: Manifests): Promise<string[]> {
  const faults = await Promise.all(
    manifests.map(async (manifest) => {
      const Model = (await import(modelOf(manifest)))[manifest["kind"]];
      try {
        new Model(manifest).validate();
        return [];
      } catch (error) {
        return [`${nameOf(manifest)}: ${error instanceof Error ? error.message : String(error)}`];
      }
    }),
  );
  return faults.flat();
}

/** What the compiler finds wrong when each object is written down as a literal of its type: fields that there are not. */
export function typeFaults(manifests: Manifests): string[] {
  mkdirSync(DIR, { recursive: true });
  const objects = manifests.map((manifest, index) => {
    const type = `import("${modelOf(manifest)}").I${manifest["kind"]}`;
    return `export const object${index}: ${type} = ${JSON.stringify(manifest, null, 1)};`;
  });
  writeFileSync(`${DIR}/objects.ts`, objects.join("\n"));
  const compilerOptions = { module: "nodenext", strict: true, noEmit: true, skipLibCheck: true, types: [] };
  writeFileSync(`${DIR}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["objects.ts"] }));
  const tsc = spawnSync(`${ROOT}node_modules/.bin/tsc`, ["-p", DIR, "--pretty", "false"], { encoding: "utf8" });
  return tsc.status === 0 ? [] : [`${tsc.stdout}${tsc.stderr}`];
}
