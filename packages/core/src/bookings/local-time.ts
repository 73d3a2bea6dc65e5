/**
 * An instant as the clock on the wall of `timezone` shows it, with its offset from UTC: `2026-12-03T14:00:00-05:00`.
 * Null where the zone is none that the platform knows; old aliases such as `Asia/Calcutta` are known.
 */
export function localTime(instant: string, timezone: string | undefined): string | null {
  if (timezone === undefined) return null;
  const parts = formatOf(timezone)?.formatToParts(new Date(instant));
  if (parts === undefined) return null;
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((found) => found.type === type)?.value ?? "";
  // "GMT" at zero, else "GMT+05:30"; a few historical zones have seconds, which ISO 8601 does not know.
  const offset = part("timeZoneName").slice("GMT".length, "GMT+05:30".length) || "+00:00";
  return `${part("year")}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}:${part("second")}${offset}`;
}

const PARTS = {
  calendar: "iso8601",
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "longOffset",
} as const satisfies Intl.DateTimeFormatOptions;

/** Making one takes thirty times as long as using it; there are as many as the platform knows zones. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  try {
    const format = new Intl.DateTimeFormat("en-US", { ...PARTS, timeZone });
    formats.set(timeZone, format);
    return format;
  } catch {
    return undefined;
  }
}
