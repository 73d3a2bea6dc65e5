import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parse, parseAllDocuments } from "yaml";

/** An object as kustomize gives it: its form is held against the types and schemas of Kubernetes in the test. */
// biome-ignore lint/suspicious/noExplicitAny: as it comes
export type Manifest = Record<string, any>;
export type Manifests = readonly Manifest[];

export const KUBERNETES = new URL("../../ops/kubernetes/", import.meta.url).pathname;
const SCRATCH = new URL("../../.local/kubernetes/", import.meta.url).pathname;

export const OVERLAYS = ["staging", "production"] as const;
const COMPONENTS = ["ingress", "monitoring", "keda", "secret-files"] as const;

/** All that can be applied as it is, by name, and what it is made from: each directory there stands alone. */
export const BUILDS: Readonly<Record<string, () => Manifests>> = {
  base: () => build(`${KUBERNETES}base`),
  ...Object.fromEntries(OVERLAYS.map((overlay) => [overlay, () => build(`${KUBERNETES}overlays/${overlay}`)])),
  ...Object.fromEntries(OVERLAYS.map((overlay) => [`${overlay} without components`, () => buildBare(overlay)])),
  ...Object.fromEntries(COMPONENTS.map((name) => [`base with ${name}`, () => buildWith([name])])),
  "base with all components": () => buildWith(COMPONENTS),
};

function build(dir: string): Manifests {
  const { status, stdout, stderr, error } = spawnSync("kubectl", ["kustomize", dir], { encoding: "utf8" });
  if (error !== undefined) throw new Error("kubectl is needed: `npm test` fetches one", { cause: error });
  if (status !== 0) throw new Error(`kubectl kustomize ${dir} failed:\n${stderr}`);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
}

/** The base with components, as an overlay of one's own would have them. */
function buildWith(components: readonly string[]): Manifests {
  const dir = `${SCRATCH}${components.join("-")}`;
  mkdirSync(dir, { recursive: true });
  const from = relative(dir, KUBERNETES);
  const kustomization = {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    resources: [`${from}/base`],
    components: components.map((name) => `${from}/components/${name}`),
    configMapGenerator: [
      {
        name: "calendly-settings",
        behavior: "merge",
        literals: ["CALENDLY_WEBHOOK_BASE_URL=https://hooks.example.net"],
      },
    ],
  };
  // JSON is YAML.
  writeFileSync(`${dir}/kustomization.yaml`, JSON.stringify(kustomization));
  return build(dir);
}

/** An overlay on a cluster that has nothing of what the components need. */
function buildBare(overlay: string): Manifests {
  const [from, dir] = [`${KUBERNETES}overlays/${overlay}`, `${SCRATCH}bare-${overlay}`];
  rmSync(dir, { recursive: true, force: true });
  cpSync(from, dir, { recursive: true });
  const { components: _, ...kustomization } = parse(readFileSync(`${from}/kustomization.yaml`, "utf8"));
  const resources = kustomization.resources.map((path: string) => relative(dir, resolve(from, path)));
  writeFileSync(`${dir}/kustomization.yaml`, JSON.stringify({ ...kustomization, resources }));
  return build(dir);
}

export function ofKind(manifests: Manifests, kind: string): Manifests {
  return manifests.filter((manifest) => manifest["kind"] === kind);
}

export const nameOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.name}`;

/** Whether labels hold all that a selector asks for. Other selectors than by equal labels are not used. */
export function selects(selector: Manifest | undefined, labels: Manifest): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => labels[name] === value);
}

/** The deployment of an app, with its only container. */
export interface Workload {
  readonly app: "ingest" | "worker";
  readonly deployment: Manifest;
  readonly pod: Manifest;
  readonly labels: Manifest;
  readonly container: Manifest;
}

export function workloads(manifests: Manifests): readonly Workload[] {
  return ofKind(manifests, "Deployment").map((deployment) => {
    const { template } = deployment["spec"];
    const [container, ...others] = template.spec.containers;
    const app = container.name;
    if (others.length > 0 || (app !== "ingest" && app !== "worker")) {
      throw new Error(`${nameOf(deployment)}: expected one container, called ingest or worker`);
    }
    return { app, deployment, pod: template.spec, labels: template.metadata.labels, container };
  });
}

/** The workloads whose pods a selector takes. */
export function selected(manifests: Manifests, selector: Manifest | undefined): readonly Workload[] {
  return workloads(manifests).filter(({ labels }) => selects(selector, labels));
}
