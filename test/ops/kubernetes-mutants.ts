import { type Manifest, type Manifests, ofKind, workloads } from "./kubernetes-builds.ts";

/** A mistake, made in what was built, and a part of the sentence that must tell it. */
export interface Mutant {
  readonly mistake: string;
  readonly make: (manifests: Manifests) => void;
  readonly told: string;
}

function of(app: "ingest" | "worker", manifests: Manifests) {
  const found = workloads(manifests).find((one) => one.app === app);
  if (found === undefined) throw new Error(`there is no ${app}`);
  return found;
}

function the(kind: string, name: string, manifests: Manifests): Manifest["spec"] {
  const found = ofKind(manifests, kind).find(({ metadata }) => metadata.name === `calendly-${name}`);
  if (found === undefined) throw new Error(`there is no ${kind} calendly-${name}`);
  return found["spec"];
}

const variable = (container: Manifest, name: string): Manifest =>
  container["env"].find((one: Manifest) => one["name"] === name);

export const MUTANTS: readonly Mutant[] = [
  // Variables.
  {
    mistake: "a setting is misspelt",
    make: (all) => Object.assign(ofKind(all, "ConfigMap")[0]?.["data"], { CALENDLY_SHARD: "4" }),
    told: "nobody knows CALENDLY_SHARD",
  },
  {
    mistake: "a setting does not fit",
    make: (all) => Object.assign(ofKind(all, "ConfigMap")[0]?.["data"], { CALENDLY_SHARDS: "many" }),
    told: "CALENDLY_SHARDS: expected",
  },
  {
    mistake: "a secret stands among the settings",
    make: (all) => Object.assign(ofKind(all, "ConfigMap")[0]?.["data"], { OPS_API_TOKEN: "x" }),
    told: "OPS_API_TOKEN is a secret",
  },
  {
    mistake: "a required secret is optional",
    make: (all) =>
      Object.assign(variable(of("worker", all).container, "CALENDLY_API_TOKEN")["valueFrom"].secretKeyRef, {
        optional: true,
      }),
    told: "CALENDLY_API_TOKEN is not set",
  },
  {
    mistake: "a secret's file is not mounted",
    make: (all) => of("ingest", all).container["env"].push({ name: "METRICS_TOKEN_FILE", value: "/run/secrets/none" }),
    told: "METRICS_TOKEN_FILE leads nowhere",
  },
  {
    mistake: "the settings have another name",
    make: (all) => Object.assign(of("worker", all).container["envFrom"][0].configMapRef, { name: "settings" }),
    told: "nobody knows none of settings",
  },
  // Ports and probes.
  {
    mistake: "the ingest listens elsewhere",
    make: (all) => Object.assign(variable(of("ingest", all).container, "INGEST_PORT"), { value: "8080" }),
    told: "http is not where INGEST_PORT says",
  },
  {
    mistake: "only the pod itself reaches its metrics",
    make: (all) => Object.assign(variable(of("ingest", all).container, "INGEST_METRICS_HOST"), { value: "127.0.0.1" }),
    told: "ingest: INGEST_METRICS_HOST keeps others out",
  },
  {
    mistake: "services' variables are let in",
    make: (all) => delete of("worker", all).pod["enableServiceLinks"],
    told: "services' variables",
  },
  {
    mistake: "a service asks for another port",
    make: (all) => Object.assign(the("Service", "worker", all).ports[0], { targetPort: "http" }),
    told: "Service calendly-worker leads to no pod",
  },
  {
    mistake: "a service selects nobody",
    make: (all) => Object.assign(the("Service", "ingest", all).selector, { "app.kubernetes.io/name": "calendly" }),
    told: "Service calendly-ingest leads to no pod",
  },
  {
    mistake: "a service is made public",
    make: (all) => Object.assign(the("Service", "worker", all), { type: "LoadBalancer" }),
    told: "Service calendly-worker is for too many",
  },
  {
    mistake: "a monitor asks for another port",
    make: (all) => Object.assign(the("PodMonitor", "worker", all).podMetricsEndpoints[0], { port: "metrics" }),
    told: "PodMonitor calendly-worker leads to no pod",
  },
  {
    mistake: "a probe asks for another port",
    make: (all) => Object.assign(of("ingest", all).container["readinessProbe"].httpGet, { port: "metrics" }),
    told: "readinessProbe asks elsewhere",
  },
  // The network.
  {
    mistake: "the worker is open to the world",
    make: (all) => delete the("NetworkPolicy", "worker", all).ingress[0].from,
    told: "all reaches internal",
  },
  {
    mistake: "the ingest's metrics are open to the world",
    make: (all) => the("NetworkPolicy", "ingest", all).ingress[0].ports.push({ port: "metrics" }),
    told: "all reaches metrics",
  },
  {
    mistake: "every namespace may come in",
    make: (all) => the("NetworkPolicy", "worker", all).ingress[0].from.push({ namespaceSelector: {} }),
    told: "all reaches internal",
  },
  {
    mistake: "consumers reach the ingest's metrics",
    make: (all) =>
      Object.assign(the("NetworkPolicy", "ingest", all).ingress[1].from[0].namespaceSelector, {
        matchLabels: { "calendly-worker/consumer": "true" },
      }),
    told: "calendly-worker/consumer reaches metrics",
  },
  {
    mistake: "a policy selects nobody",
    make: (all) =>
      Object.assign(the("NetworkPolicy", "worker", all).podSelector.matchLabels, {
        "app.kubernetes.io/component": "workers",
      }),
    told: "worker: no policy of its own",
  },
  {
    mistake: "all paths are let in",
    make: (all) =>
      Object.assign(the("Ingress", "ingest", all).rules[0].http.paths[0], { path: "/", pathType: "Prefix" }),
    told: "leads elsewhere",
  },
  {
    mistake: "another host is without a certificate",
    make: (all) => Object.assign(the("Ingress", "ingest", all).tls[0], { hosts: ["hooks.example.org"] }),
    told: "leads elsewhere",
  },
  // Stopping.
  {
    mistake: "the deadline grows and the grace period does not",
    make: (all) => Object.assign(variable(of("worker", all).container, "SHUTDOWN_DEADLINE"), { value: "40" }),
    told: "worker: is killed before 50 s",
  },
  {
    mistake: "nobody is told before an ingest stops",
    make: (all) => delete of("ingest", all).container["lifecycle"],
    told: "ingest: goes before others have heard",
  },
  // How many.
  {
    mistake: "one worker is enough",
    make: (all) => Object.assign(the("ScaledObject", "worker", all), { minReplicaCount: 1 }),
    told: "worker may be fewer than two",
  },
  {
    mistake: "workers idle",
    make: (all) => Object.assign(the("ScaledObject", "worker", all), { idleReplicaCount: 0 }),
    told: "worker idles",
  },
  {
    mistake: "two decide how many there are",
    make: (all) => Object.assign(of("ingest", all).deployment["spec"], { replicas: 3 }),
    told: "ingest is decided upon by none or by two",
  },
  {
    mistake: "one ingest is enough",
    make: (all) => Object.assign(the("HorizontalPodAutoscaler", "ingest", all), { minReplicas: 1 }),
    told: "ingest may be fewer than two",
  },
  {
    mistake: "an update begins with taking one away",
    make: (all) => Object.assign(of("worker", all).deployment["spec"].strategy.rollingUpdate, { maxUnavailable: 1 }),
    told: "worker is updated with fewer",
  },
  {
    mistake: "all may be evicted at once",
    make: (all) => Object.assign(the("PodDisruptionBudget", "ingest", all), { maxUnavailable: "100%" }),
    told: "ingest has no budget",
  },
  {
    mistake: "a budget is for nobody",
    make: (all) =>
      Object.assign(the("PodDisruptionBudget", "worker", all).selector, { matchLabels: { app: "worker" } }),
    told: "worker has no budget",
  },
  {
    mistake: "they are not spread over zones",
    make: (all) => of("worker", all).pod["topologySpreadConstraints"].pop(),
    told: "worker is not spread",
  },
  // Rights.
  {
    mistake: "the user is only called otherwise than root",
    make: (all) => delete of("worker", all).pod["securityContext"].runAsUser,
    told: "worker may be root",
  },
  {
    mistake: "files may be written",
    make: (all) => Object.assign(of("ingest", all).container["securityContext"], { readOnlyRootFilesystem: false }),
    told: "ingest may write",
  },
  {
    mistake: "a capability is added",
    make: (all) =>
      Object.assign(of("ingest", all).container["securityContext"].capabilities, { add: ["NET_BIND_SERVICE"] }),
    told: "ingest has capabilities",
  },
  {
    mistake: "the cluster's token is mounted",
    make: (all) => delete of("worker", all).pod["automountServiceAccountToken"],
    told: "worker has a token",
  },
  {
    mistake: "no seccomp profile",
    make: (all) => Object.assign(of("worker", all).pod["securityContext"].seccompProfile, { type: "Unconfined" }),
    told: "worker has no seccomp profile",
  },
  {
    mistake: "no limit of memory",
    make: (all) => delete of("ingest", all).container["resources"].limits,
    told: "ingest asks for no resources",
  },
  // Monitoring.
  {
    mistake: "a rule is edited by hand",
    make: (all) => Object.assign(the("PrometheusRule", "worker", all).groups[1].rules[0], { for: "1h" }),
    told: "is not rules.yml",
  },
  {
    mistake: "a monitor shows another token",
    make: (all) =>
      Object.assign(the("PodMonitor", "ingest", all).podMetricsEndpoints[0].authorization.credentials, {
        key: "OPS_API_TOKEN",
      }),
    told: "is not let in",
  },
  {
    mistake: "the metric of the age is misspelt",
    make: (all) =>
      Object.assign(the("ScaledObject", "worker", all).triggers[0].metadata, {
        query: "max(calendly_queue_oldest_seconds)",
      }),
    told: "asks for what nobody tells",
  },
  {
    mistake: "workers are scaled by a length",
    make: (all) =>
      Object.assign(the("ScaledObject", "worker", all).triggers[0].metadata, { query: "max(calendly_queue_jobs)" }),
    told: "does not go by the age",
  },
  {
    mistake: "workers are added when it is too late",
    make: (all) => Object.assign(the("ScaledObject", "worker", all).triggers[0].metadata, { threshold: "600" }),
    told: "acts too late",
  },
];
