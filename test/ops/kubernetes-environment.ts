import { variables } from "@calendly-worker/core/config/schema";
import type { Variable } from "@calendly-worker/core/config/variable";
import { type Manifest, type Manifests, ofKind, type Workload } from "./kubernetes-builds.ts";

const SCHEMA: Readonly<Record<string, Variable>> = variables;

/** Values that do for the secrets which the manifests only refer to. */
const SECRETS: Readonly<Record<string, string>> = {
  REDIS_URL: "redis://redis.example:6379",
  CALENDLY_CONSUMER_TOKENS: "billing 0123456789abcdef0123456789abcdef",
};
const secretValueOf = (name: string) => SECRETS[name] ?? `a-value-of-${name}`;

/** A variable as an app finds it, and how it came there. */
interface Given {
  readonly name: string;
  readonly value: string | undefined;
  readonly from: "settings" | "value" | "secret" | "file";
  readonly isOptional?: boolean;
}

/** `REDIS_URL` for `REDIS_URL_FILE`. */
export function plainName(name: string): string {
  return name.endsWith("_FILE") && !(name in SCHEMA) ? name.slice(0, -"_FILE".length) : name;
}

function givens(manifests: Manifests, { pod, container }: Workload): readonly Given[] {
  const settings = (container["envFrom"] ?? []).flatMap(({ configMapRef, secretRef }: Manifest) => {
    if (secretRef !== undefined) return [{ name: `all of ${secretRef.name}`, value: undefined, from: "secret" }];
    const map = ofKind(manifests, "ConfigMap").find(({ metadata }) => metadata.name === configMapRef.name);
    if (map === undefined) return [{ name: `none of ${configMapRef.name}`, value: undefined, from: "settings" }];
    return Object.entries(map["data"]).map(([name, value]) => ({ name, value, from: "settings" }));
  });
  const own = (container["env"] ?? []).map(({ name, value, valueFrom }: Manifest): Given => {
    const ref = valueFrom?.secretKeyRef;
    if (ref !== undefined) {
      return { name, value: secretValueOf(ref.key), from: "secret", isOptional: ref.optional === true };
    }
    if (name === plainName(name)) return { name, value, from: "value" };
    return { name, value: fileOf({ pod, container }, value), from: "file" };
  });
  return [...settings, ...own];
}

/** What a mounted secret has in that file; undefined where it is not mounted there. */
function fileOf({ pod, container }: Pick<Workload, "pod" | "container">, file: string): string | undefined {
  for (const { name, mountPath } of container["volumeMounts"] ?? []) {
    const volume = (pod["volumes"] ?? []).find((one: Manifest) => one["name"] === name);
    const item = (volume?.secret?.items ?? []).find(({ path }: Manifest) => `${mountPath}/${path}` === file);
    if (item !== undefined) return secretValueOf(item.key);
  }
  return undefined;
}

/** The environment that an app starts with, with only those secrets that must be there, or with all. */
export function environmentOf(
  manifests: Manifests,
  workload: Workload,
  which: "required" | "all",
): Readonly<Record<string, string>> {
  const there = givens(manifests, workload).filter(({ isOptional }) => which === "all" || isOptional !== true);
  return Object.fromEntries(
    there.flatMap(({ name, value }) => (value === undefined ? [] : [[plainName(name), value] as const])),
  );
}

/** Names that no app knows, secrets in the open, and references that lead nowhere. */
export function variableFaults(manifests: Manifests, workload: Workload): string[] {
  return givens(manifests, workload).flatMap(({ name, value, from }) => {
    const variable = SCHEMA[plainName(name)];
    // What begins with DD_ is the tracer's own.
    if (variable === undefined) return name.startsWith("DD_") ? [] : [`${workload.app}: nobody knows ${name}`];
    if (value === undefined) return [`${workload.app}: ${name} leads nowhere`];
    const isHidden = from === "secret" || from === "file";
    if (variable.secret === true && !isHidden) return [`${workload.app}: ${name} is a secret, and stands there`];
    return variable.secret !== true && isHidden ? [`${workload.app}: ${name} is no secret`] : [];
  });
}
