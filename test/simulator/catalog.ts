import type { Random } from "./random.ts";

/** What an organization has before anybody books: its people and the kinds of meeting they offer. */
export interface Catalog {
  readonly organization: string;
  /** Who made the tokens and subscriptions. */
  readonly admin: Host;
  readonly hosts: readonly Host[];
  readonly eventTypes: EventType[];
}

export interface Host {
  readonly uri: string;
  readonly name: string;
  readonly email: string;
  readonly slug: string;
}

export interface EventType {
  readonly uri: string;
  readonly name: string;
  readonly slug: string;
  readonly kind: "solo" | "group";
  readonly poolingType: "round_robin" | "collective" | null;
  readonly minutes: number;
  /** Invitees that one scheduled event takes. */
  readonly limit: number;
  readonly location: "zoom" | "google_conference" | "physical" | "webex_conference";
  readonly hosts: readonly Host[];
  readonly createdAt: string;
  updatedAt: string;
  active: boolean;
}

const PEOPLE = [
  ["Mara Lindqvist", "mara.lindqvist"],
  ["Deji Okafor", "deji.okafor"],
  ["Sol Herrera", "sol.herrera"],
] as const;

const TYPES = [
  {
    name: "Product Demo (30 min)",
    slug: "product-demo",
    kind: "solo",
    poolingType: null,
    minutes: 30,
    limit: 1,
    location: "zoom",
    hosts: [0],
  },
  {
    name: "15 Minute Intro",
    slug: "intro",
    kind: "solo",
    poolingType: null,
    minutes: 15,
    limit: 1,
    location: "google_conference",
    hosts: [1],
  },
  {
    name: "Onboarding Call",
    slug: "onboarding",
    kind: "solo",
    poolingType: null,
    minutes: 45,
    limit: 1,
    location: "google_conference",
    hosts: [2],
  },
  {
    name: "Weekly Product Webinar",
    slug: "webinar",
    kind: "group",
    poolingType: null,
    minutes: 60,
    limit: 50,
    location: "webex_conference",
    hosts: [0],
  },
  {
    name: "Sales Call",
    slug: "sales-call",
    kind: "solo",
    poolingType: "round_robin",
    minutes: 30,
    limit: 1,
    location: "zoom",
    hosts: [0, 1, 2],
  },
  {
    name: "Panel Interview",
    slug: "panel",
    kind: "solo",
    poolingType: "collective",
    minutes: 60,
    limit: 1,
    location: "physical",
    hosts: [0, 1, 2],
  },
] as const;

const LONG_AGO = "2025-02-01T09:00:00.000000Z";

/** `baseUrl` begins every reference, as `https://api.calendly.com` does at Calendly. */
export function createCatalog(random: Random, baseUrl: string): Catalog {
  const user = (name: string, slug: string): Host => ({
    uri: `${baseUrl}/users/${random.uuid()}`,
    name,
    email: `${slug}@northwind-demo.example`,
    slug,
  });
  const admin = user("Integration Admin", "calendly-admin");
  const hosts = PEOPLE.map(([name, slug]) => user(name, slug));
  const eventTypes = TYPES.map(
    ({ hosts: positions, ...type }): EventType => ({
      ...type,
      uri: `${baseUrl}/event_types/${random.uuid()}`,
      hosts: hosts.filter((_, position) => (positions as readonly number[]).includes(position)),
      createdAt: LONG_AGO,
      updatedAt: LONG_AGO,
      active: true,
    }),
  );
  return { organization: `${baseUrl}/organizations/${random.uuid()}`, admin, hosts, eventTypes };
}
