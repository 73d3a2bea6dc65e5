// Changes of an address, whatever its topology: `redis[s][-sentinel|-cluster]://[user:password@]hosts[/[database/]name]`.

export function asUser(url: string, name: string, password: string): string {
  return url.replace(/:\/\/(?:[^@/]*@)?/, `://${name}:${encodeURIComponent(password)}@`);
}

/** Not of a cluster, which has one. */
export function inDatabase(url: string, database: number): string {
  return url.includes("-sentinel:") ? url.replace(/\/([\w.-]+)$/, `/${database}/$1`) : `${url}/${database}`;
}
