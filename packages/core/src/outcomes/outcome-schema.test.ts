import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { outcomeJsonSchema } from "./outcome-event.ts";

// What consumers were promised once stands in recorded-outcome.schema.json, and is only ever added to.

// biome-ignore lint/suspicious/noExplicitAny: any part of a JSON Schema
type Schema = any;
const recorded: Schema = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/recorded-outcome.schema.json", import.meta.url), "utf8"),
);

/** What a reader of the recorded outcomes would stumble over. */
function breaks(before: Schema, after: Schema): string[] {
  const resolve = (root: Schema, schema: Schema): Schema =>
    schema?.$ref === undefined ? schema : resolve(root, root.$defs[schema.$ref.split("/").at(-1)]);
  const typeOf = (root: Schema, option: Schema) => resolve(root, option).properties?.type?.const;

  function compare(at: string, oldOne: Schema, newOne: Schema): string[] {
    const [was, is] = [resolve(before, oldOne), resolve(after, newOne)];
    if (is === undefined) return [`${at} is gone`];
    const found: string[] = [];
    for (const key of ["type", "const", "format", "enum"]) {
      if (JSON.stringify(was[key]) !== JSON.stringify(is[key]))
        found.push(`${at}: ${key} was ${JSON.stringify(was[key])}, is ${JSON.stringify(is[key])}`);
    }
    for (const [name, schema] of Object.entries(was.properties ?? {})) {
      found.push(...compare(`${at}.${name}`, schema, is.properties?.[name]));
    }
    for (const name of was.required ?? []) if (!is.required?.includes(name)) found.push(`${at}.${name} may be missing`);
    if (was.items) found.push(...compare(`${at}[]`, was.items, is.items));
    for (const [index, schema] of (was.prefixItems ?? []).entries()) {
      found.push(...compare(`${at}[${index}]`, schema, is.prefixItems?.[index]));
    }
    if (is.additionalProperties === false) found.push(`${at} forbids what may come to it`);
    for (const kind of ["anyOf", "oneOf"]) {
      const options: Schema[] = was[kind] ?? [];
      const others: Schema[] = is[kind] ?? [];
      const isUnionOfOutcomes = options.some((option) => typeOf(before, option) !== undefined);
      if (!isUnionOfOutcomes && options.length !== others.length) found.push(`${at} has other alternatives`);
      for (const [index, option] of options.entries()) {
        const type = typeOf(before, option);
        const other = type === undefined ? others[index] : others.find((one) => typeOf(after, one) === type);
        found.push(...compare(type === undefined ? `${at}|${index}` : `${at}(${type})`, option, other));
      }
    }
    return found;
  }
  return compare("outcome", before, after);
}

test("outcomes still are what was recorded, with additions at most", () => {
  expect(breaks(recorded, outcomeJsonSchema())).toEqual([]);
});

describe("the comparison", () => {
  const changed = (change: (schema: Schema) => void) => {
    const schema = structuredClone(recorded);
    change(schema);
    return breaks(recorded, schema);
  };
  const bookingOf = (schema: Schema) => schema.$defs.Booking;

  test("lets additions pass", () => {
    expect(
      changed((schema) => {
        bookingOf(schema).properties.colour = { type: "string" };
        bookingOf(schema).required.push("colour");
        schema.$defs.Outcome.oneOf.push({ type: "object", properties: { type: { const: "booking.painted" } } });
      }),
    ).toEqual([]);
  });

  test.each<[string, (schema: Schema) => void, string]>([
    ["a field is gone", (schema) => delete bookingOf(schema).properties.start, "start is gone"],
    ["a field may be missing", (schema) => bookingOf(schema).required.shift(), "id may be missing"],
    [
      "a field has another type",
      (schema) => Object.assign(bookingOf(schema).properties.sequence, { type: "string" }),
      "type was",
    ],
    [
      "a field may be null",
      (schema) =>
        Object.assign(bookingOf(schema).properties, { start: { anyOf: [{ type: "string" }, { type: "null" }] } }),
      "start: type was",
    ],
    ["an enumeration grows", (schema) => bookingOf(schema).properties.status.enum.push("lost"), "enum was"],
    [
      "a type of outcome is gone",
      (schema) => schema.$defs.Outcome.oneOf.pop(),
      "(booking.expectation_expired) is gone",
    ],
    [
      "the version is another",
      (schema) => Object.assign(schema.$defs.Outcome.oneOf[0].properties.dataschema, { const: "urn:x:2" }),
      "const was",
    ],
    [
      "what may come is forbidden",
      (schema) => Object.assign(bookingOf(schema), { additionalProperties: false }),
      "forbids",
    ],
  ])("sees that %s", (_what, change, said) => {
    expect(changed(change).join("\n")).toContain(said);
  });
});
