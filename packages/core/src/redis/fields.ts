/**
 * What stands in an entry of a stream or in a row of `XINFO`, where names and values come in turn. A value may be the same
 * as a name: nothing is to be looked for in the flat list.
 */
export function fieldsOf<T>(flat: readonly T[]): ReadonlyMap<T, T> {
  const fields = new Map<T, T>();
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] as T, flat[at + 1] as T);
  return fields;
}
