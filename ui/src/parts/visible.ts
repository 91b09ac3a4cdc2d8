import { safe } from "~/text/safe";

/** A text as it is shown. */
export interface Shown {
  /** With what a browser would hide or obey written out. */
  text: string;
  /** How many UTF-16 units of the whole are not in `text`; 0 if none is missing. */
  cut: number;
}

/** The first `limit` UTF-16 units of a text from a host, for places that offer the rest. */
export function visible(text: string, limit = 300): Shown {
  let end = Math.min(text.length, limit);
  // Half of a pair would become a character that is not there.
  if (end < text.length && end > 0 && isHigh(text.charCodeAt(end - 1))) end -= 1;
  return {
    text: safe(text.slice(0, end), Number.POSITIVE_INFINITY),
    cut: text.length - end,
  };
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
