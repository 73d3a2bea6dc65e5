import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { loadConfig } from "@calendly-worker/core/config/load";
import { CLOSING_MS } from "@calendly-worker/core/lifecycle/run-app";
import { parse } from "yaml";
import { OBJECTIVE } from "../../ops/prometheus/alerts.ts";
import { metricNamesIn } from "./expressions.ts";
import { type Manifest, type Manifests, nameOf, ofKind, selected, selects, workloads } from "./kubernetes-builds.ts";
import { environmentOf, variableFaults } from "./kubernetes-environment.ts";

/** Which variable says where each port is that a container opens. */
const PORT_VARIABLES: Readonly<Record<string, string>> = {
  http: "INGEST_PORT",
  metrics: "INGEST_METRICS_PORT",
  internal: "WORKER_PORT",
};
const FACES = { ingest: "http", worker: "internal" } as const;
const MONITORING = "calendly-worker/monitoring";
const CONSUMER = "calendly-worker/consumer";
const RULES = new URL("../../ops/prometheus/rules.yml", import.meta.url);

/** What must hold of all that is applied: each gives what is wrong, as sentences. */
export const INVARIANTS: Readonly<Record<string, (manifests: Manifests) => readonly string[]>> = {
  "every variable is known, secrets are only referred to, and the apps take it all": (manifests) => {
    const refusals = workloads(manifests).flatMap((workload) =>
      (["required", "all"] as const).flatMap((which) => {
        try {
          loadConfig([workload.app], environmentOf(manifests, workload, which));
          return [];
        } catch (error) {
          return [`${workload.app}: ${String(error)}`];
        }
      }),
    );
    const secrets = ofKind(manifests, "Secret").map((secret) => `${nameOf(secret)} is in the open`);
    return [...secrets, ...workloads(manifests).flatMap((one) => variableFaults(manifests, one)), ...refusals];
  },

  "ports are where the apps listen, and lead from one to the next": (manifests) => {
    const faults = workloads(manifests).flatMap((workload) => {
      const { app, container, pod } = workload;
      const environment = environmentOf(manifests, workload, "all");
      const wrong = container["ports"]
        .filter(
          ({ name, containerPort }: Manifest) => environment[PORT_VARIABLES[name] ?? ""] !== String(containerPort),
        )
        .map(({ name }: Manifest) => `${app}: ${name} is not where ${PORT_VARIABLES[name]} says`);
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

  "a pod that is to stop has longer than it may take": (manifests) =>
    workloads(manifests).flatMap((workload) => {
      const { app, container, pod } = workload;
      const seconds = container["lifecycle"]?.preStop?.sleep?.seconds ?? 0;
      const needed =
        seconds + Number(environmentOf(manifests, workload, "all")["SHUTDOWN_DEADLINE"]) + CLOSING_MS / 1_000;
      return [
        ...(pod["terminationGracePeriodSeconds"] > needed ? [] : [`${app}: is killed before ${needed} s are over`]),
        // Endpoints are taken away while the pod is told to stop, and not before.
        ...(seconds >= 5 ? [] : [`${app}: goes before others have heard of it`]),
      ];
    }),

  "there are never fewer than two, and never none available": (manifests) =>
    workloads(manifests).flatMap(({ app, deployment, labels, pod }) => {
      const { name } = deployment["metadata"];
      const { replicas, strategy } = deployment["spec"];
      const scalers = [...ofKind(manifests, "HorizontalPodAutoscaler"), ...ofKind(manifests, "ScaledObject")].filter(
        ({ spec }) => spec.scaleTargetRef.kind === "Deployment" && spec.scaleTargetRef.name === name,
      );
      const least = scalers.map(({ spec }) => spec.minReplicas ?? spec.minReplicaCount);
      const most = scalers.map(({ spec }) => spec.maxReplicas ?? spec.maxReplicaCount);
      const budgets = ofKind(manifests, "PodDisruptionBudget").filter(({ spec }) =>
        selects(spec.selector.matchLabels, labels),
      );
      const { maxUnavailable, maxSurge } = strategy.rollingUpdate ?? {};
      const rules = {
        "is decided upon by none or by two": scalers.length + (replicas === undefined ? 0 : 1) === 1,
        "may be fewer than two": Math.min(...least, replicas ?? 2) >= 2,
        "cannot become more": most.every((count, index) => count > (least[index] ?? 0)),
        idles: scalers.every(({ spec }) => spec.idleReplicaCount === undefined),
        "has no budget of one disruption": budgets.length === 1 && budgets[0]?.["spec"].maxUnavailable === 1,
        "is updated with fewer than before": strategy.type === "RollingUpdate" && maxUnavailable === 0 && maxSurge >= 1,
        "is not spread": ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].every((key) =>
          pod["topologySpreadConstraints"]?.some(
            ({ topologyKey, labelSelector }: Manifest) =>
              topologyKey === key && selects(labelSelector.matchLabels, labels),
          ),
        ),
      };
      return broken(app, rules);
    }),

  "what runs may do no more than it needs": (manifests) =>
    workloads(manifests).flatMap(({ app, pod, container }) => {
      const { securityContext: own = {}, resources = {} } = container;
      const { securityContext: shared = {} } = pod;
      return broken(app, {
        "may be root":
          shared.runAsNonRoot === true &&
          Number.isInteger(shared.runAsUser) &&
          shared.runAsUser > 0 &&
          own.runAsUser === undefined,
        "has no seccomp profile": shared.seccompProfile?.type === "RuntimeDefault" && own.seccompProfile === undefined,
        "has a token of the cluster": pod["automountServiceAccountToken"] === false,
        "shares the node's": ["hostNetwork", "hostPID", "hostIPC"].every((what) => pod[what] !== true),
        "has the node's files": (pod["volumes"] ?? []).every((volume: Manifest) => volume["hostPath"] === undefined),
        "may write": own.readOnlyRootFilesystem === true,
        "may gain rights": own.allowPrivilegeEscalation === false && own.privileged !== true,
        "has capabilities": String(own.capabilities?.drop) === "ALL" && own.capabilities?.add === undefined,
        "asks for no resources": Boolean(
          resources.requests?.cpu && resources.requests?.memory && resources.limits?.memory,
        ),
      });
    }),

  "monitoring has the rules of Prometheus, and scaling a metric that there is": (manifests) => [
    ...ofKind(manifests, "PrometheusRule").flatMap((rule) =>
      isDeepStrictEqual(rule["spec"], parse(readFileSync(RULES, "utf8"))) ? [] : [`${nameOf(rule)} is not rules.yml`],
    ),
    ...ofKind(manifests, "PodMonitor").flatMap((monitor) =>
      monitor["spec"].podMetricsEndpoints
        .filter(
          ({ path, authorization }: Manifest) =>
            path !== "/metrics" || authorization?.credentials?.key !== "METRICS_TOKEN",
        )
        .map(() => `${nameOf(monitor)} is not let in`),
    ),
    ...ofKind(manifests, "ScaledObject").flatMap((scaled) =>
      scaled["spec"].triggers.flatMap(({ metadata: { query, threshold }, metricType }: Manifest) => {
        const { used, undeclared } = metricNamesIn(query);
        return broken(nameOf(scaled), {
          "asks for what nobody tells": undeclared.length === 0,
          "does not go by the age": used.includes("calendly_queue_oldest_job_seconds") && metricType === "Value",
          "acts too late": Number(threshold) < OBJECTIVE.withinSeconds,
        });
      }),
    ),
  ],
};

/** Who a rule lets in: the label that a namespace must bear, else "all". */
function peerOf(peer: Manifest | "all"): string {
  if (peer === "all" || peer["podSelector"] !== undefined || peer["ipBlock"] !== undefined) return "all";
  const labels = Object.entries(peer["namespaceSelector"]?.matchLabels ?? {});
  const [[name, value] = ["all", "true"]] = labels;
  return labels.length === 1 && value === "true" ? name : "all";
}

function broken(what: string, rules: Readonly<Record<string, boolean | undefined>>): string[] {
  return Object.entries(rules).flatMap(([fault, holds]) => (holds ? [] : [`${what} ${fault}`]));
}
