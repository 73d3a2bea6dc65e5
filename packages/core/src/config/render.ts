import { variables } from "./schema.ts";
import type { Variable } from "./variable.ts";

const entries = (): [string, Variable][] => Object.entries<Variable>(variables);

/** `.env.example`: every variable with its meaning; those with a default are commented out. */
export function renderEnvExample(): string {
  const blocks = entries().map(([name, spec]) => {
    const facts = [`Expected: ${spec.expected}${spec.unit ? ` (${spec.unit})` : ""}.`];
    if (spec.requiredBy) facts.push(`Required by: ${spec.requiredBy.join(", ")}.`);
    const setting = spec.requiredBy ? `${name}=` : `#${name}=${spec.default ?? ""}`;
    return `# ${spec.description}\n# ${facts.join(" ")}\n${setting}\n`;
  });
  return `# Made by \`pnpm generate\` from packages/core/src/config/schema.ts. Copy to .env and fill in.\n# A secret can also stand in a file: NAME_FILE is its path then, in place of NAME.\n\n# What \`docker compose up\` starts. Add tls for a proxy with a certificate, and monitoring. Of no use to anything else.\nCOMPOSE_PROFILES=production\n\n${blocks.join("\n")}`;
}

/** The README's table of variables, as GitHub-flavoured Markdown. */
export function renderTable(): string {
  const rows = entries().map(([name, spec]) => {
    const fallback = spec.requiredBy
      ? `**required** by ${spec.requiredBy.join(", ")}`
      : spec.default
        ? `\`${spec.default.replaceAll(",", ", ")}\``
        : "";
    return `| \`${name}\` | ${fallback} | ${spec.unit ?? ""} | ${spec.description} |`;
  });
  return ["| variable | default | unit | meaning |", "|---|---|---|---|", ...rows].join("\n");
}
