import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Redis } from "../redis/connect.ts";

type Named<Names extends readonly string[], Value> = { readonly [Name in Names[number]]: Value };

/**
 * A Lua script of `scripts/` with named keys and arguments. The names are bound to Lua locals in the order given, so
 * that nobody writes KEYS[1] by hand; arguments beyond the named ones are the Lua table `rest`.
 */
export function defineScript<const K extends readonly string[], const A extends readonly string[], Reply>(spec: {
  readonly name: string;
  readonly keys: K;
  readonly args: A;
  readonly reply: (raw: unknown) => Reply;
}) {
  const prelude = [
    ...spec.keys.map((key, index) => `local ${key} = KEYS[${index + 1}]`),
    ...spec.args.map((arg, index) => `local ${arg} = ARGV[${index + 1}]`),
    `local rest = {unpack(ARGV, ${spec.args.length + 1})}`,
  ];
  const source = readFileSync(new URL(`./scripts/${spec.name}.lua`, import.meta.url), "utf8");
  const lua = `${prelude.join("\n")}\n${source}`;
  const sha = createHash("sha1").update(lua).digest("hex");

  return async (
    redis: Redis,
    keys: Named<K, string>,
    args: Named<A, string | number>,
    rest: readonly string[] = [],
  ): Promise<Reply> => {
    const values = [
      ...spec.keys.map((key) => keys[key as K[number]]),
      ...spec.args.map((arg) => args[arg as A[number]]),
      ...rest,
    ];
    try {
      return spec.reply(await redis.evalsha(sha, spec.keys.length, ...values));
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return spec.reply(await redis.eval(lua, spec.keys.length, ...values));
    }
  };
}
