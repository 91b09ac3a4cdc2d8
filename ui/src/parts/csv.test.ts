import { describe, expect, it } from "vitest";
import { csv } from "./csv";

/** Reads RFC 4180, to see that what was written comes back. */
function read(text: string): string[][] {
  const rows: string[][] = [[]];
  const pattern = /("((?:[^"]|"")*)"|[^",\r\n]*)(,|\r\n|$)/gy;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (!match) throw new Error(`no CSV at ${pattern.lastIndex}`);
    rows.at(-1)?.push(match[2] !== undefined ? match[2].replaceAll('""', '"') : (match[1] ?? ""));
    if (match[3] === "\r\n") rows.push([]);
  }
  return rows.slice(0, -1);
}

describe("csv", () => {
  it("quotes what needs it", () => {
    expect(
      csv(
        ["a", "b"],
        [
          ["x", 1],
          ['say "hi"', 2n],
          ["1,5", true],
          ["two\nlines", -3],
        ],
      ),
    ).toBe('a,b\r\nx,1\r\n"say ""hi""",2\r\n"1,5",true\r\n"two\nlines",-3\r\n');
  });
  it("lets no text begin a formula", () => {
    const hostile = [
      "=cmd|' /C calc'!A0",
      "+1",
      "-1+2",
      "@SUM(A1)",
      "\t=1",
      "\r=1",
      " =1",
      "'=1",
      '"=1',
      "\n=1",
      "＝1",
      "|x",
      "%x",
      "\u0000=1",
    ];
    const rows = read(
      csv(
        ["h"],
        hostile.map((text) => [text]),
      ),
    );
    expect(rows.slice(1)).toHaveLength(hostile.length);
    rows.slice(1).forEach(([back], n) => {
      expect(back).toBe(`'${hostile[n]}`);
    });
  });
  it("leaves harmless text as it is", () => {
    const texts = ["nginx", "a=b", "10.0.0.1", "", "x,y", 'q"q', "line\r\nline", " lead"];
    expect(
      read(
        csv(
          ["h"],
          texts.map((text) => [text]),
        ),
      ).slice(1),
    ).toEqual(texts.map((text) => [text]));
  });
});
