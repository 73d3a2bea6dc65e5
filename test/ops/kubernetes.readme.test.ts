import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { variables } from "@calendly-worker/core/config/schema";
import type { Variable } from "@calendly-worker/core/config/variable";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createCertificate } from "../support/certificate.ts";
import { describeWith } from "../support/tools.ts";
import { KUBERNETES } from "./kubernetes-builds.ts";

const readme = readFileSync(`${KUBERNETES}README.md`, "utf8");

/** The example of a file with the secrets, as somebody would copy it. */
const [, secretsFile = ""] = /```ini\n *(REDIS_URL=[\s\S]*?)```/.exec(readme) ?? [];
const secretNames = [...secretsFile.matchAll(/^ *([A-Z_]+)=/gm)].map(([, name]) => String(name));

/** Every command that it tells one to run, without remarks. */
const COMMANDS = [
  ...new Set(
    [...readme.matchAll(/^ *(kubectl .+)$/gm), ...readme.matchAll(/`(kubectl [^`]+ [^`]+)`/g)].map(([, command]) =>
      String(command).replace(/ +#.*/, "").replace(/\s+/g, " "),
    ),
  ),
].filter((command) => command !== "kubectl diff");

describe("the page on Kubernetes", () => {
  test("lists the secrets that there are", () => {
    const secrets = Object.entries<Variable>(variables).filter(([, { secret }]) => secret === true);
    expect(secretNames.toSorted()).toEqual(secrets.map(([name]) => name).toSorted());
  });

  test.each([...readme.matchAll(/^\| `([a-z/-]+)` \|/gm)].map(([, place]) => String(place)))(
    "names a directory that can be applied: %s",
    (place) => {
      expect(existsSync(`${KUBERNETES}${place}/kustomization.yaml`)).toBe(true);
    },
  );

  test("names enough commands to be held against something", () => expect(COMMANDS.length).toBeGreaterThan(9));
});

describeWith("kubectl", "commands on the page on Kubernetes", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "calendly-kubernetes-"));
    writeFileSync(join(dir, "secrets.env"), secretsFile.replaceAll(/^ +/gm, ""));
    const { cert, key, remove } = createCertificate();
    copyFileSync(cert, join(dir, "tls.crt"));
    copyFileSync(key, join(dir, "tls.key"));
    remove();
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  /** What kubectl says where the cluster answers nothing: a command that it understands gets as far as that. */
  function run(command: string): string {
    const [, ...words] = command.split(" ").map((word) => word.replace("ops/kubernetes/", KUBERNETES));
    const args = [...words, "--server=http://127.0.0.1:9", "--request-timeout=2s"];
    // Nobody's own cluster has a part in this.
    const env = { ...process.env, KUBECONFIG: "/dev/null" };
    return spawnSync("kubectl", args, { cwd: dir, encoding: "utf8", env }).stderr;
  }

  test.each(COMMANDS)("kubectl takes: %s", (command) => expect(run(command)).toMatch(/connection .*refused/));

  test.each([
    ["kubectl rollout undone deployment/calendly-worker", "unknown"],
    ["kubectl apply --kustomise ops/kubernetes/overlays/production", "unknown flag"],
    ["kubectl diff --kustomize ops/kubernetes/overlays/nowhere", "no such file"],
    ["kubectl create secret generic x --from-env-file=none.env", "no such file"],
  ])("it would be found out that it does not take: %s", (command, fault) => {
    const said = run(command);
    expect(said).not.toMatch(/connection .*refused/);
    expect(said).toContain(fault);
  });

  test("the secret is made of what the page shows, name by name", () => {
    const create = ["create", "secret", "generic", "calendly-secrets", "--from-env-file=secrets.env"];
    const { stdout } = spawnSync("kubectl", [...create, "--dry-run=client", "--output=json"], {
      cwd: dir,
      encoding: "utf8",
    });
    expect(Object.keys(JSON.parse(stdout).data).toSorted()).toEqual(secretNames.toSorted());
  });
});
