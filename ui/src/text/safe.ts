/** How much of a name is ever drawn or written; a host may send a megabyte. */
const LONGEST = 200;

/**
 * A name from a host as it may be shown: control characters and those that turn the direction of text are written as ⟨U+202E⟩, and what is too
 * long ends in …. React escapes markup by itself; this is for what would still mislead a reader.
 */
export function safe(name: string, longest = LONGEST): string {
  const cut = name.length > longest ? `${[...name.slice(0, longest)].slice(0, -1).join("")}…` : name;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g, (c) => {
    return `⟨U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** A service's key without its kind: "unit:nginx" → "nginx", "exe:/usr/bin/curl" → "curl". */
export function shortName(key: string): string {
  const colon = key.indexOf(":");
  if (colon < 0 || /^[0-9a-f:.]+(%\w+)?(\/\d+)?$/i.test(key)) return key;
  const kind = key.slice(0, colon);
  const rest = key.slice(colon + 1);
  if (!/^[a-z]+$/.test(kind) || rest === "") return key;
  return kind === "exe" ? rest.slice(rest.lastIndexOf("/") + 1) || rest : rest;
}
