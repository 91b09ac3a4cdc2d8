/** Times and spans between them, in milliseconds. */

/** RFC 3339 as milliseconds since the epoch; `undefined` if it is empty or none. */
export function millis(rfc3339: string): number | undefined {
  if (rfc3339 === "") return undefined;
  const at = Date.parse(rfc3339);
  return Number.isNaN(at) ? undefined : at;
}

/** `4:07`, `1:02:09`: what is left, in whole seconds, rounded up. */
export function left(span: number): string {
  const seconds = Math.max(0, Math.ceil(span / 1_000));
  const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const PART = /(\d+)\s*(days?|d|hours?|hrs?|h|minutes?|min|m|seconds?|secs?|s|weeks?|w)\s*/iy;
const LENGTHS: Record<string, number> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
};

/** `90s`, `1h 30m`, `7d` as milliseconds; `undefined` if it is no span. */
export function span(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < trimmed.length) {
    const part = PART.exec(trimmed);
    if (!part) return undefined;
    total += Number(part[1]) * (LENGTHS[part[2]?.[0]?.toLowerCase() ?? ""] ?? 0);
  }
  return total;
}

/** What a field for a time takes: a span back from now, or a date with or without a time. */
export function since(text: string, now: number): number | undefined {
  const back = span(text);
  if (back !== undefined) return now - back;
  return /^\d{4}-\d\d-\d\d/.test(text.trim()) ? millis(text.trim()) : undefined;
}
