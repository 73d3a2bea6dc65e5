import { createHash } from "node:crypto";
import type { OpenApiDocument } from "./openapi.ts";

/** The OpenAPI document for people: one page that needs nothing from elsewhere. */
export interface Page {
  readonly html: string;
  /** Lets nothing in but the page's own style. */
  readonly contentSecurityPolicy: string;
}

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 6rem; }
code, pre { font: 0.88em/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid var(--line); border-radius: 6px; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 6px; margin: 0.6rem 0; padding: 0 0.9rem; }
summary { cursor: pointer; padding: 0.55rem 0; } summary code { font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; } td, th { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: break-word; } td code { white-space: nowrap; } pre { max-width: 48rem; }
`;

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
  }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema?: object }> };
  readonly responses?: Record<
    string,
    { readonly description: string; readonly content?: Record<string, { readonly schema?: object }> }
  >;
}

export function renderPage(document: OpenApiDocument): Page {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Operation>).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = (document.tags ?? []).map(({ name }) => name);
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => operation.tags?.includes(tag));
    return `<h2 id="${escaped(tag)}">${escaped(tag)}</h2>\n${own.map(renderOperation).join("\n")}`;
  });
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="schema-${escaped(name)}"><summary><code>${escaped(name)}</code></summary>${renderJson(schema)}</details>`,
  );
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(document.info.title)}: API</title>
<style>${STYLE}</style>
<h1>${escaped(document.info.title)}</h1>
<p>${marked(document.info.description ?? "")}</p>
<p>Send <code>Authorization: Bearer …</code> with every request. Refusals are problem documents
(<code>application/problem+json</code>, RFC 9457) with a stable <code>code</code>.
For programs: <a href="openapi.json">openapi.json</a>.</p>
<nav>${tags.map((tag) => `<a href="#${escaped(tag)}">${escaped(tag)}</a>`).join(" · ")} · <a href="#schemas">Schemas</a></nav>
${sections.join("\n")}
<h2 id="schemas">Schemas</h2>
${schemas.join("\n")}
</html>
`;
  const digest = createHash("sha256").update(STYLE).digest("base64");
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function renderOperation({ path, method, operation }: { path: string; method: string; operation: Operation }): string {
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: where, required, description }) =>
      `<tr><td><code>${escaped(name)}</code></td><td>${escaped(where)}${required ? ", required" : ""}</td><td>${marked(description ?? "")}</td></tr>`,
  );
  const answers = Object.entries(operation.responses ?? {}).map(
    ([status, { description, content }]) =>
      `<tr><td><code>${escaped(status)}</code></td><td>${marked(description)}</td><td>${Object.values(content ?? {})
        .map(({ schema }) => linkTo(schema))
        .join("")}</td></tr>`,
  );
  const [body] = Object.values(operation.requestBody?.content ?? {});
  return `<details><summary><code>${method.toUpperCase()} ${escaped(path)}</code> ${escaped(operation.summary ?? "")}</summary>
<p>${marked(operation.description ?? "")}</p>
${parameters.length === 0 ? "" : `<table><tr><th>parameter</th><th>in</th><th>is</th></tr>${parameters.join("")}</table>`}
${body === undefined ? "" : `<p>Body: ${linkTo(body.schema)}</p>`}
<table><tr><th>answer</th><th>when</th><th>body</th></tr>${answers.join("")}</table>
</details>`;
}

function linkTo(schema: object | undefined): string {
  const reference = schema !== undefined && "$ref" in schema ? String(schema.$ref) : undefined;
  if (reference === undefined) return schema === undefined ? "" : renderJson(schema);
  const name = reference.split("/").at(-1) ?? "";
  return `<a href="#schema-${escaped(name)}">${escaped(name)}</a>`;
}

function renderJson(schema: unknown): string {
  const json = escaped(JSON.stringify(schema, null, 2));
  const linked = json.replaceAll(/#\/components\/schemas\/(\w+)/g, '<a href="#schema-$1">$1</a>');
  return `<pre>${linked}</pre>`;
}

/** Text with `code` in it. */
function marked(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
