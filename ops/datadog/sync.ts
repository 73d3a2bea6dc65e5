import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

/** A monitor as it stands in a file. */
export interface MonitorFile {
  /** Names it for ever: another name, query or message under one id is a change of the same monitor. */
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly query: string;
  readonly message: string;
  readonly priority: number;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A monitor as Datadog has it. */
export interface RemoteMonitor extends Partial<Omit<MonitorFile, "id">> {
  readonly id: number;
  readonly tags: readonly string[];
}

export type MonitorBody = Omit<MonitorFile, "id"> & { readonly tags: readonly string[] };

export interface MonitorsApi {
  /** All that bear the tag. */
  list(tag: string): Promise<readonly RemoteMonitor[]>;
  create(monitor: MonitorBody): Promise<void>;
  update(id: number, monitor: MonitorBody): Promise<void>;
}

export type Done =
  | { readonly id: string; readonly what: "created" | "updated" | "unchanged" }
  | { readonly id: string; readonly what: "failed"; readonly why: string }
  /** Ours, and in no file any more: to be deleted by hand. */
  | { readonly id: string; readonly what: "left over" };

export const OURS = "managed-by:calendly-worker";
const ID = "calendly-worker-monitor:";

/** Every monitor of the folder. Throws where a file does not read as it should, or two have one id. */
export function readMonitors(dir: URL): readonly (MonitorBody & { readonly id: string })[] {
  const monitors = readdirSync(dir)
    .filter((file) => file.endsWith(".json"))
    .toSorted()
    .flatMap((file) => {
      const group = file.replace(/\.json$/, "");
      const all = JSON.parse(readFileSync(new URL(file, dir), "utf8")) as MonitorFile[];
      return all.map((monitor) => ({ ...monitor, tags: [OURS, `${ID}${monitor.id}`, `group:${group}`] }));
    });
  const doubled = monitors.filter(({ id }, index) => monitors.findIndex((other) => other.id === id) !== index);
  if (doubled.length > 0) throw new Error(`two monitors have the id ${doubled.map(({ id }) => id).join(", ")}`);
  return monitors;
}

/** Makes Datadog's monitors those of the files, and says of each what was done; `isDryRun`: what would be. */
export async function syncMonitors(
  wanted: ReturnType<typeof readMonitors>,
  api: MonitorsApi,
  { isDryRun }: { readonly isDryRun: boolean },
): Promise<Done[]> {
  const remote = (await api.list(OURS)).filter(({ tags }) => tags.includes(OURS));
  const idOf = ({ tags }: RemoteMonitor) => tags.find((tag) => tag.startsWith(ID))?.slice(ID.length) ?? "";
  const done: Done[] = [];
  for (const { id, ...monitor } of wanted) {
    const known = remote.find((one) => idOf(one) === id);
    const what = known === undefined ? "created" : isSame(known, monitor) ? "unchanged" : "updated";
    try {
      if (!isDryRun && known === undefined) await api.create(monitor);
      if (!isDryRun && known !== undefined && what === "updated") await api.update(known.id, monitor);
      done.push({ id, what });
    } catch (error) {
      done.push({ id, what: "failed", why: error instanceof Error ? error.message : String(error) });
    }
  }
  const leftOver = remote.filter((one) => !wanted.some(({ id }) => id === idOf(one)));
  return [...done, ...leftOver.map((one) => ({ id: idOf(one) || String(one.id), what: "left over" as const }))];
}

/** Datadog adds fields of its own: only what a file says is compared. */
function isSame(remote: RemoteMonitor, { options, tags, ...fields }: MonitorBody): boolean {
  const isSameField = Object.entries(fields).every(([name, value]) =>
    isDeepStrictEqual(remote[name as keyof RemoteMonitor], value),
  );
  const remoteOptions = remote.options ?? {};
  const areOptions = Object.entries(options).every(([name, value]) => isDeepStrictEqual(remoteOptions[name], value));
  return isSameField && areOptions && isDeepStrictEqual([...remote.tags].toSorted(), [...tags].toSorted());
}
