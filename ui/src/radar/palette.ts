/** The colours that the picture is painted with: the same names as in tokens.css. */
const NAMES = [
  "bg",
  "surface-1",
  "surface-2",
  "surface-3",
  "border",
  "border-strong",
  "text",
  "text-2",
  "text-3",
  "accent",
  "accent-soft",
  "focus",
  "learned",
  "learning",
  "alert",
  "alert-soft",
  "prevent",
  "prevent-soft",
  "allow",
  "would",
  "unlearned",
] as const;
export type Colour = (typeof NAMES)[number];
export type Palette = Record<Colour, string> & { font: string };

/** Reads the colours in force from the document. */
export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const palette = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...palette, font: style.getPropertyValue("--font-sans").trim() } as Palette;
}
