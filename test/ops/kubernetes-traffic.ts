import { type Manifest, type Manifests, nameOf, ofKind, selected, selects, workloads } from "./kubernetes-builds.ts";
import { environmentOf } from "./kubernetes-environment.ts";

/** What must hold of all that is applied. Gives what is wrong, as sentences. */
export type Invariant = (manifests: Manifests) => readonly string[];

/** The first part of the names of the variables that say where each port is that a container opens. */
const PORT_VARIABLES: Readonly<Record<string, string>> = {
  http: "INGEST",
  metrics: "INGEST_METRICS",
  internal: "WORKER",
};
/** What others in the cluster reach, probes and proxies among them. */
const EVERY_ADDRESS = ["0.0.0.0", "::"];
const FACES = { ingest: "http", worker: "internal" } as const;
const MONITORING = "calendly-worker/monitoring";
const CONSUMER = "calendly-worker/consumer";

/** Who reaches whom, and where. */
export const TRAFFIC: Readonly<Record<string, Invariant>> = {
  "ports are where the apps listen, and lead from one to the next": (manifests) => {
    const faults = workloads(manifests).flatMap((workload) => {
      const { app, container, pod } = workload;
      const environment = environmentOf(manifests, workload, "all");
      const wrong = container["ports"].flatMap(({ name, containerPort }: Manifest) => {
        const [host, port] = [`${PORT_VARIABLES[name]}_HOST`, `${PORT_VARIABLES[name]}_PORT`];
        return [
          ...(environment[port] === String(containerPort) ? [] : [`${app}: ${name} is not where ${port} says`]),
          ...(EVERY_ADDRESS.includes(environment[host] ?? "") ? [] : [`${app}: ${host} keeps others out`]),
        ];
      });
      // Kubernetes would say where a service is in variables of that service's name, INGEST_PORT among them.
      return pod["enableServiceLinks"] === false ? wrong : [...wrong, `${app}: services' variables come in between`];
    });
    const ask = (from: Manifest, selector: Manifest, ports: readonly unknown[]) => {
      const found = selected(manifests, selector);
      const lacking = ports.filter((port) =>
        found.some(({ container }) => !container["ports"].some(({ name }: Manifest) => name === port)),
      );
      return found.length === 1 && lacking.length === 0 ? [] : [`${nameOf(from)} leads to no pod, or to no port`];
    };
    for (const service of ofKind(manifests, "Service")) {
      const { selector, ports, type = "ClusterIP" } = service["spec"];
      const targets = ports.map(({ targetPort }: Manifest) => targetPort);
      faults.push(...ask(service, selector, targets));
      if (type !== "ClusterIP" || targets.includes("metrics")) faults.push(`${nameOf(service)} is for too many`);
    }
    for (const monitor of ofKind(manifests, "PodMonitor")) {
      const { selector, podMetricsEndpoints } = monitor["spec"];
      faults.push(
        ...ask(
          monitor,
          selector.matchLabels,
          podMetricsEndpoints.map(({ port }: Manifest) => port),
        ),
      );
    }
    for (const policy of ofKind(manifests, "NetworkPolicy")) {
      const ports = policy["spec"].ingress.flatMap((rule: Manifest) =>
        (rule["ports"] ?? []).map(({ port }: Manifest) => port),
      );
      faults.push(...ask(policy, policy["spec"].podSelector.matchLabels, ports));
    }
    return faults;
  },

  "probes ask the port of the app's face": (manifests) =>
    workloads(manifests).flatMap(({ app, container }) =>
      ["startupProbe", "livenessProbe", "readinessProbe"]
        .filter((probe) => container[probe]?.httpGet?.port !== FACES[app])
        .map((probe) => `${app}: ${probe} asks elsewhere`),
    ),

  "only the webhook's port is open to the world, and the worker's to monitoring and consumers": (manifests) => {
    const policies = ofKind(manifests, "NetworkPolicy");
    const unguarded = workloads(manifests)
      .filter(({ labels }) => {
        const own = policies.filter(({ spec }) => selects(spec.podSelector.matchLabels, labels));
        return own.length !== 1 || !own[0]?.["spec"].policyTypes.includes("Ingress");
      })
      .map(({ app }) => `${app}: no policy of its own`);
    const allowed: Readonly<Record<string, readonly string[]>> = {
      http: ["all"],
      metrics: [MONITORING],
      internal: [MONITORING, CONSUMER],
    };
    const wrong = policies.flatMap((policy) =>
      policy["spec"].ingress.flatMap((rule: Manifest) => {
        const from = (rule["from"] ?? ["all"]).map(peerOf);
        const ports = (rule["ports"] ?? [{ port: "every port" }]).map(({ port }: Manifest) => port);
        return ports.flatMap((port: string) =>
          from
            .filter((peer: string) => !allowed[port]?.includes(peer))
            .map((peer: string) => `${nameOf(policy)}: ${peer} reaches ${port}`),
        );
      }),
    );
    const routes = ofKind(manifests, "Ingress").flatMap((ingress) =>
      ingress["spec"].rules.flatMap(({ host, http }: Manifest) =>
        http.paths
          .filter(({ path, pathType, backend: { service } }: Manifest) => {
            const [ingest] = workloads(manifests).filter(({ app }) => app === "ingest");
            const { CALENDLY_WEBHOOK_ENDPOINT_PREFIX: prefix, CALENDLY_WEBHOOK_BASE_URL: base } =
              ingest === undefined ? {} : environmentOf(manifests, ingest, "all");
            const isThere = pathType === "Exact" && `https://${host}${path}` === `${base}${prefix}`;
            const isCovered = ingress["spec"].tls?.some(({ hosts }: Manifest) => hosts.includes(host)) === true;
            return !(isThere && isCovered && service.name === "calendly-ingest" && service.port.name === "http");
          })
          .map(() => `${nameOf(ingress)} leads elsewhere than to the webhook's address`),
      ),
    );
    return [...unguarded, ...wrong, ...routes];
  },
};

/** Who a rule lets in: the label that a namespace must bear, else "all". */
function peerOf(peer: Manifest | "all"): string {
  if (peer === "all" || peer["podSelector"] !== undefined || peer["ipBlock"] !== undefined) return "all";
  const labels = Object.entries(peer["namespaceSelector"]?.matchLabels ?? {});
  const [[name, value] = ["all", "true"]] = labels;
  return labels.length === 1 && value === "true" ? name : "all";
}
