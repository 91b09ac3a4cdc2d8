/** Port lists as in a policy file: `tcp/80,443,8000-8100`, `udp/53`, `icmp`, `any`. The controller reads them again; this only helps to write. */

/** What a text for ports says. */
export type Ports = { ports: string[]; wrong?: undefined } | { ports?: undefined; wrong: string };

/** Reads lists separated by spaces, semicolons or lines. Lists of one protocol are joined, in order; nothing is `any`. */
export function readPorts(text: string): Ports {
  const words = text
    .trim()
    .replace(/\s*,\s*/g, ",")
    .split(/[\s;]+/)
    .filter((word) => word !== "");
  if (words.length === 0) return { ports: ["any"] };
  const byProtocol = new Map<string, [number, number][]>();
  for (const word of regroup(words)) {
    if (word === "any") {
      if (words.length > 1)
        return {
          wrong: "'any' stands alone: remove the other ports, or 'any'",
        };
      return { ports: ["any"] };
    }
    const slash = word.indexOf("/");
    const protocol = slash < 0 ? word : word.slice(0, slash);
    const wrong = wrongProtocol(protocol, word);
    if (wrong) return { wrong };
    const ranges = byProtocol.get(protocol) ?? [];
    byProtocol.set(protocol, ranges);
    if (!hasPorts(protocol)) {
      if (slash >= 0) return { wrong: `${protocol} has no ports: write ${protocol}` };
      continue;
    }
    if (slash < 0) return { wrong: `'${word}' has no port: write ${word}/80, or any` };
    for (const part of word.slice(slash + 1).split(",")) {
      const range = readRange(part);
      if (typeof range === "string") return { wrong: range };
      ranges.push(range);
    }
  }
  return {
    ports: [...byProtocol].map(([protocol, ranges]) => written(protocol, ranges)),
  };
}

/** `tcp/80,udp/53` is two lists, as people write it so. */
function regroup(words: string[]): string[] {
  return words.flatMap((word) => {
    const lists: string[] = [];
    for (const part of word.split(",")) {
      const last = lists.length - 1;
      if (lists.length === 0 || /^[a-z]/i.test(part)) lists.push(part.toLowerCase());
      else lists[last] += `,${part}`;
    }
    return lists;
  });
}

function hasPorts(protocol: string): boolean {
  return protocol === "tcp" || protocol === "udp" || protocol === "sctp";
}

function wrongProtocol(protocol: string, word: string): string | undefined {
  if (hasPorts(protocol) || protocol === "icmp" || protocol === "icmpv6") return undefined;
  const number = /^ip(\d{1,3})$/.exec(protocol)?.[1];
  if (number !== undefined && Number(number) <= 255) return undefined;
  if (/^\d/.test(word)) return `'${word}' has no protocol: write tcp/${word} or udp/${word}`;
  return `unknown protocol '${protocol}': use tcp, udp, sctp, icmp or ipN`;
}

function readRange(text: string): [number, number] | string {
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const low = Number(parts?.[1]);
  const high = Number(parts?.[2] ?? parts?.[1]);
  if (!parts || low > 65_535 || high > 65_535) return `'${text}' is not a port: a port is a number from 0 to 65535`;
  return low <= high ? [low, high] : `'${text}' runs backwards: write ${high}-${low}`;
}

/** Sorted, with what touches or overlaps joined. */
function written(protocol: string, ranges: [number, number][]): string {
  if (!hasPorts(protocol)) return protocol;
  const joined: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return `${protocol}/${joined.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`)).join(",")}`;
}

/** Whether one of the lists holds this port. */
export function holdsPort(ports: readonly string[], protocol: string, port: number): boolean {
  return ports.some((list) => {
    if (list === "any" || list === "") return true;
    const [name, rest] = list.split("/");
    if (name !== protocol) return false;
    return (
      rest === undefined ||
      rest.split(",").some((part) => {
        const range = readRange(part);
        return typeof range !== "string" && range[0] <= port && port <= range[1];
      })
    );
  });
}

/** `443`, `tcp/443` or `icmp`: rules that speak of it, those of any port too. */
export function portMeant(ports: readonly string[], value: string): boolean {
  if (/^\d+$/.test(value)) return ["tcp", "udp", "sctp"].some((protocol) => holdsPort(ports, protocol, Number(value)));
  const list = readPorts(value).ports?.[0];
  if (list === undefined || list === "any") return false;
  const [protocol, port] = list.split("/");
  return holdsPort(ports, protocol ?? "", Number.parseInt(port ?? "0", 10));
}
