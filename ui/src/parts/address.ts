/** Addresses, networks and ranges. The controller reads them again; this says early what is wrong. */

/** What is wrong with an address, a CIDR or a range, and what to write; `undefined` if nothing is. */
export function wrongAddress(text: string): string | undefined {
  const bad = `'${text}' is no address: use 10.0.0.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9`;
  const dash = text.indexOf("-");
  if (dash >= 0) {
    const [low, high] = [bits(text.slice(0, dash)), bits(text.slice(dash + 1))];
    if (!low || !high) return bad;
    if (low.width !== high.width || low.value > high.value) return `'${text}' runs backwards or mixes IPv4 with IPv6`;
    return undefined;
  }
  const slash = text.indexOf("/");
  if (slash < 0) return bits(text) ? undefined : bad;
  const address = bits(text.slice(0, slash));
  const length = /^\d{1,3}$/.test(text.slice(slash + 1)) ? Number(text.slice(slash + 1)) : Number.NaN;
  if (!address || !(length <= address.width)) return bad;
  const host = BigInt(address.width - length);
  const network = (address.value >> host) << host;
  if (network !== address.value) return `'${text}' has host bits set: write ${addressText({ ...address, value: network })}/${length}`;
  return undefined;
}

/** Whether this is an address, a network or a range, or a list of them joined by commas. */
export function isAddresses(text: string): boolean {
  return text.split(",").every((part) => wrongAddress(part.trim()) === undefined);
}

/** A range of addresses of one family, ends included. */
export interface Range extends Span {
  /** 32 or 128. */
  width: number;
}

interface Span {
  low: bigint;
  high: bigint;
}

/** The range that an address, a network or a range is; `undefined` if it is none. */
export function rangeOf(text: string): Range | undefined {
  if (wrongAddress(text) !== undefined) return undefined;
  const dash = text.indexOf("-");
  const slash = text.indexOf("/");
  const low = bits(dash >= 0 ? text.slice(0, dash) : slash >= 0 ? text.slice(0, slash) : text);
  if (!low) return undefined;
  const { width } = low;
  if (dash >= 0) return { width, low: low.value, high: bits(text.slice(dash + 1))?.value ?? low.value };
  const host = slash >= 0 ? width - Number(text.slice(slash + 1)) : 0;
  return { width, low: low.value, high: low.value + (1n << BigInt(host)) - 1n };
}

/** How many addresses of each family are in these ranges, each once. */
export function countAddresses(ranges: readonly Range[]): { four: bigint; six: bigint } {
  const count = (width: number) => {
    let total = 0n;
    let end = -1n;
    for (const { low, high } of ranges.filter((range) => range.width === width).sort((a, b) => (a.low < b.low ? -1 : 1))) {
      const from = low > end ? low : end + 1n;
      if (high >= from) total += high - from + 1n;
      if (high > end) end = high;
    }
    return total;
  };
  return { four: count(32), six: count(128) };
}

/** Whether what is written, an address or a network, lies in one of the ranges as a whole. */
export function isWithin(text: string, ranges: readonly Range[]): boolean {
  const own = rangeOf(text);
  return own !== undefined && ranges.some(({ width, low, high }) => width === own.width && low <= own.low && own.high <= high);
}

interface Bits {
  value: bigint;
  /** 32 or 128. */
  width: number;
}

function bits(text: string): Bits | undefined {
  return text.includes(":") ? six(text) : four(text);
}

function four(text: string): Bits | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { value, width: 32 };
}

function six(text: string): Bits | undefined {
  let whole = text;
  // The last 32 bits may be written as an IPv4 address.
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    const tail = four(dotted[2] ?? "");
    if (!tail) return undefined;
    whole = `${dotted[1]}${(tail.value >> 16n).toString(16)}:${(tail.value & 0xffffn).toString(16)}`;
  }
  const halves = whole.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string | undefined) => (half ? half.split(":") : []);
  const [head, tail] = [groups(halves[0]), groups(halves[1])];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array<string>(halves.length === 1 ? 0 : missing).fill("0"), ...tail];
  let value = 0n;
  for (const group of all) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return { value, width: 128 };
}

/** IPv6 by RFC 5952. */
function addressText({ value, width }: Bits): string {
  if (width === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, n) => ((value >> BigInt(112 - n * 16)) & 0xffffn).toString(16));
  let best = { at: 0, length: 0 };
  for (let at = 0; at < 8; at += 1) {
    let length = 0;
    while (groups[at + length] === "0") length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}
