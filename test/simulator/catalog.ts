import { AccountError } from "./account-error.ts";
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
  readonly slug: string;
  readonly kind: "solo" | "group";
  readonly poolingType: "round_robin" | "collective" | null;
  /** Invitees that one scheduled event takes. */
  readonly limit: number;
  readonly location: "zoom" | "google_conference" | "physical" | "webex_conference";
  readonly hosts: readonly Host[];
  readonly createdAt: string;
  name: string;
  minutes: number;
  updatedAt: string;
  active: boolean;
  /** Those who are deleted still answer at the API. */
  deletedAt: string | null;
}

export type EventTypeChange = Partial<Pick<EventType, "name" | "minutes" | "active">>;
export type NewEventType = Pick<EventType, "name" | "slug" | "minutes">;

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
      deletedAt: null,
    }),
  );
  return { organization: `${baseUrl}/organizations/${random.uuid()}`, admin, hosts, eventTypes };
}

/** What can be done to the event types of a catalog. Each can be named by its slug or its URI. */
export function createEventTypes(ports: { catalog: Catalog; random: Random; baseUrl: string; stamp: () => string }) {
  const { catalog, random, baseUrl, stamp } = ports;

  function find(nameOrUri: string): EventType {
    const type = catalog.eventTypes.find(({ slug, uri }) => slug === nameOrUri || uri === nameOrUri);
    if (type !== undefined) return type;
    const slugs = catalog.eventTypes.map(({ slug }) => slug).join(", ");
    throw new AccountError(`there is no event type "${nameOrUri}"; there are ${slugs}`);
  }

  /** One that can be booked. */
  function findOpen(nameOrUri: string): EventType {
    const type = find(nameOrUri);
    if (!type.active) throw new AccountError(`the event type "${nameOrUri}" is not active`);
    return type;
  }

  return {
    find,
    findOpen,

    /** For one invitee at a time, hosted by the first host. */
    create({ name, slug, minutes }: NewEventType): EventType {
      if (catalog.eventTypes.some((type) => type.slug === slug))
        throw new AccountError(`there is an event type "${slug}" already`);
      const createdAt = stamp();
      const type: EventType = {
        name,
        slug,
        minutes,
        kind: "solo",
        poolingType: null,
        limit: 1,
        location: "zoom",
        uri: `${baseUrl}/event_types/${random.uuid()}`,
        hosts: catalog.hosts.slice(0, 1),
        createdAt,
        updatedAt: createdAt,
        active: true,
        deletedAt: null,
      };
      catalog.eventTypes.push(type);
      return type;
    },

    update(nameOrUri: string, change: EventTypeChange): EventType {
      return Object.assign(find(nameOrUri), change, { updatedAt: stamp() });
    },

    remove(nameOrUri: string): EventType {
      const type = find(nameOrUri);
      if (type.deletedAt !== null) throw new AccountError(`the event type "${nameOrUri}" is deleted already`);
      type.active = false;
      type.deletedAt = stamp();
      type.updatedAt = type.deletedAt;
      return type;
    },
  };
}
