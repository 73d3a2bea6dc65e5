import type { MonitorBody, MonitorsApi, RemoteMonitor } from "./sync.ts";

const PAGE = 100;

/** Datadog's monitors. Its library is large, so it is loaded only here, and only when it is asked for. */
export async function openDatadog(options: {
  readonly apiKey: string;
  readonly appKey: string;
  readonly site: string | undefined;
  /** Instead of a site's. */
  readonly url: string | undefined;
}): Promise<MonitorsApi> {
  const { client, v1 } = (await import("@datadog/datadog-api-client")).default;
  const configuration = client.createConfiguration({
    authMethods: { apiKeyAuth: options.apiKey, appKeyAuth: options.appKey },
    ...(options.url !== undefined && { baseServer: new client.BaseServerConfiguration(options.url, {}) }),
    enableRetry: true,
  });
  if (options.site !== undefined) configuration.setServerVariables({ site: options.site });
  const monitors = new v1.MonitorsApi(configuration);

  return {
    async list(tag) {
      const all: RemoteMonitor[] = [];
      for (let page = 0; ; page++) {
        const found = await explained(() => monitors.listMonitors({ monitorTags: tag, page, pageSize: PAGE }));
        // What the library has not heard of yet it keeps as it came.
        all.push(...found.map((monitor) => plain(monitor)));
        if (found.length < PAGE) return all;
      }
    },
    async create(monitor) {
      await explained(() => monitors.createMonitor({ body: bodyOf(monitor) }));
    },
    async update(monitorId, monitor) {
      await explained(() => monitors.updateMonitor({ monitorId, body: bodyOf(monitor) }));
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the library's own types of a monitor are classes with an enumeration of types
function bodyOf({ options, ...monitor }: MonitorBody): any {
  const { notify_no_data, no_data_timeframe, include_tags, thresholds } = options;
  return {
    ...monitor,
    options: {
      thresholds,
      ...(notify_no_data !== undefined && { notifyNoData: notify_no_data }),
      ...(no_data_timeframe !== undefined && { noDataTimeframe: no_data_timeframe }),
      ...(include_tags !== undefined && { includeTags: include_tags }),
    },
  };
}

/** The library's object in the words of the API. */
// biome-ignore lint/suspicious/noExplicitAny: see above
function plain(monitor: any): RemoteMonitor {
  const { notifyNoData, noDataTimeframe, includeTags, thresholds } = monitor.options ?? {};
  const { id, name, type, query, message, priority, tags = [] } = monitor;
  const options = Object.entries({
    // A class' instance, with what was not given as undefined.
    thresholds: thresholds === undefined ? undefined : JSON.parse(JSON.stringify(thresholds)),
    notify_no_data: notifyNoData,
    no_data_timeframe: noDataTimeframe,
    include_tags: includeTags,
  }).filter(([, value]) => value !== undefined);
  return { id, name, type, query, message, priority, tags, options: Object.fromEntries(options) };
}

/** Errors in Datadog's words. */
async function explained<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const { code, body, message } = error as { code?: unknown; body?: { errors?: string[] }; message?: string };
    if (typeof code !== "number") throw new Error(`Datadog could not be reached: ${message}`, { cause: error });
    const said = body?.errors?.join("; ") ?? "no reason was given";
    const hint = code === 403 ? " (are the two keys right, and of this site?)" : "";
    throw new Error(`Datadog answered ${code}: ${said}${hint}`, { cause: error });
  }
}
