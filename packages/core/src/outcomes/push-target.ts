import { lookup as resolve } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

/** A destination's address must not be connected to, see CALENDLY_DESTINATION_ALLOW. */
export class TargetRefusedError extends Error {
  override readonly name = "TargetRefusedError";
  readonly code = "target_refused";
}

/** Says where outcomes may be pushed to. Addresses count, not names: a name can lead elsewhere at any time. */
export interface TargetGuard {
  /** Throws a TargetRefusedError where a URL leads to what is refused. What cannot be resolved now passes. */
  check(url: string): Promise<void>;
  /** Throws a TargetRefusedError for a host that is an address itself: nobody looks that up. */
  checkHost(host: string): void;
  /** To be given to `connect`: resolves a name, and gives only addresses that may be connected to. */
  readonly lookup: LookupFunction;
}

/** Whether a host, in lower case, is the one that is named, or lies under a `*.` pattern. */
export function fitsName(name: string, host: string): boolean {
  return name.startsWith("*.") ? host.endsWith(name.slice(1)) : host === name;
}

/** `allow`: host names, `*.` patterns of them, addresses, and ranges of these. */
export function createTargetGuard(allow: readonly string[]): TargetGuard {
  const ranges = allow.filter((item) => isIP(item.split("/")[0] ?? "") !== 0).map(rangeOf);
  const names = allow.filter((item) => isIP(item.split("/")[0] ?? "") === 0);

  const isAllowedName = (host: string) => names.some((name) => fitsName(name, host));

  function isAllowedAddress(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    // `process` turns an IPv4 address that is written as an IPv6 one into what it is.
    const ip = ipaddr.process(address);
    return isPublic(ip) || ranges.some(([range, bits]) => ip.kind() === range.kind() && ip.match(range, bits));
  }

  function refusal(host: string, address: string): TargetRefusedError {
    const led = host === address ? host : `${host}, which leads to ${address},`;
    return new TargetRefusedError(
      `Outcomes are not pushed to ${led} as that is not a public address. To allow it, name the host or its range in CALENDLY_DESTINATION_ALLOW, for example CALENDLY_DESTINATION_ALLOW=${host === address ? `${address}/${isIP(address) === 6 ? 128 : 32}` : host}`,
    );
  }

  function checkHost(host: string): void {
    const address = unbracketed(host);
    if (isIP(address) !== 0 && !isAllowedAddress(address)) throw refusal(address, address);
  }

  const lookup: LookupFunction = (hostname, options, callback) => {
    const host = hostname.toLowerCase();
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const allowed = addresses.filter(({ address }) => isAllowedName(host) || isAllowedAddress(address));
      const [first] = allowed;
      if (first === undefined) return callback(refusal(host, addresses[0]?.address ?? "nowhere"), []);
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };

  return {
    checkHost,
    lookup,
    async check(url) {
      const { hostname } = new URL(url);
      checkHost(hostname);
      if (isIP(unbracketed(hostname)) !== 0) return;
      const { promise, resolve: done, reject } = Promise.withResolvers<void>();
      lookup(hostname, { all: true }, (error) => {
        if (error instanceof TargetRefusedError) reject(error);
        else done();
      });
      await promise;
    },
  };
}

function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

function rangeOf(item: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  return item.includes("/") ? ipaddr.parseCIDR(item) : [ipaddr.parse(item), isIP(item) === 6 ? 128 : 32];
}

/**
 * Only what is plainly public: everything else has a range of its own (private, loopback, link-local, and those that
 * carry an IPv4 address inside).
 */
function isPublic(ip: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (ip.range() !== "unicast") return false;
  // Deprecated forms that ipaddr.js takes for unicast: ::a.b.c.d and fec0::/10.
  return ip.kind() === "ipv4" || !(ip.match(ipaddr.parseCIDR("::/96")) || ip.match(ipaddr.parseCIDR("fec0::/10")));
}
