/** Files for spreadsheets: RFC 4180, and nothing in them is a formula. */

/** A value of a cell; numbers are written as they are. */
export type Value = string | number | bigint | boolean;

/** How a spreadsheet would begin a formula, also behind blanks, a quote or in full-width letters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: tabs and returns are among them
const FORMULA = /^[\s\u0000-\u001f'"]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]/;

/** The file of a table: a header, and a line each row. */
export function csv(header: readonly string[], rows: Iterable<readonly Value[]>): string {
  const lines = [header.map(cell).join(",")];
  for (const row of rows) lines.push(row.map(cell).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

function cell(value: Value): string {
  if (typeof value !== "string") return String(value);
  // The apostrophe makes it text; a negative number in a text is one of those too.
  const text = FORMULA.test(value) || /^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$|^'/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
