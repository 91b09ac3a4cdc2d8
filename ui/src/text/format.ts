const plain = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const rules = new Intl.PluralRules("en");

/** 12345 → "12,345". */
export function number(n: number | bigint): string {
  return plain.format(n);
}

/** 12345 → "12.3K". */
export function compact(n: number | bigint): string {
  return short.format(n);
}

/** `count(2, "edge")` → "2 edges"; give the plural where it is not the word with an s. */
export function count(n: number | bigint, one: string, many = `${one}s`): string {
  return `${plain.format(n)} ${rules.select(Number(n)) === "one" ? one : many}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes in binary units: 1536 → "1.5 KiB". */
export function bytes(n: number | bigint): string {
  let value = Number(n);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** How long ago an RFC 3339 time is: "now", "12 s", "5 min", "3 h", "2 d"; empty for an empty one. */
export function ago(at: string | Date, now = Date.now()): string {
  const then = typeof at === "string" ? Date.parse(at) : at.getTime();
  if (Number.isNaN(then)) return "";
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const moment = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** An RFC 3339 time in the reader's zone, "2026-11-24 07:52:34"; empty for an empty one. */
export function time(at: string | Date): string {
  const date = typeof at === "string" ? new Date(at) : at;
  if (Number.isNaN(date.getTime())) return "";
  const part = Object.fromEntries(moment.formatToParts(date).map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}`;
}

/** The same, without the day. */
export function clock(at: string | Date): string {
  return time(at).slice(11);
}

/** Times along an axis, `step` seconds apart: "14:00", with the day below where a new one begins; days alone where the step is one or more. */
export function ticks(at: readonly number[], step: number): string[] {
  return at.map((seconds, n) => {
    const [day, hour] = time(new Date(seconds * 1000))
      .slice(5, 16)
      .split(" ");
    if (step >= 86_400) return day ?? "";
    const before = at[n - 1];
    const same = before !== undefined && time(new Date(before * 1000)).slice(5, 10) === day;
    return same ? (hour ?? "") : `${hour}\n${day}`;
  });
}

/** "tcp", 5432 → "tcp/5432"; port 0 of tcp, udp and sctp is every port from 32768 on. */
export function port(protocol: string, number: number): string {
  if (number > 0) return `${protocol}/${number}`;
  return protocol === "tcp" || protocol === "udp" || protocol === "sctp" ? `${protocol}/dynamic` : protocol;
}
