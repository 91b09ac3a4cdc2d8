import { describe, expect, it } from "vitest";
import { flagParam, intParam, listParam, readAddress, textParam, wordParam, wordsParam, writeAddress } from "./address";

const SHAPE = {
  q: textParam(),
  group: wordParam(["auto", "host", "none"], "auto"),
  show: wordsParam(["learned", "alerted", "prevented"]),
  open: listParam(),
  connected: flagParam(),
  page: intParam(1, 1, 9),
};

describe("the address", () => {
  it("reads what is there, and defaults for what is not or makes no sense", () => {
    expect(readAddress(SHAPE, "q=web&group=moon&show=prevented.x.learned&page=99&connected=1")).toEqual({
      q: "web",
      group: "auto",
      show: ["learned", "prevented"],
      open: [],
      connected: true,
      page: 9,
    });
  });
  it("survives broken escapes", () => expect(readAddress(SHAPE, "open=%25E0%25A4%25A").open).toEqual([]));
  it("leaves out defaults and keeps what others put there", () => {
    expect(writeAddress(SHAPE, "camera=1,2,3&q=web&page=3", { q: "", page: 1, group: "host" })).toBe("camera=1,2,3&group=host");
  });
  it("returns what was written, whatever it holds", () => {
    const open = ["a,b", "unit:x&y=z", "%", "שלום", "a b+c", "#"];
    const written = writeAddress(SHAPE, "", { open, q: "a&b=c#d%20" });
    expect(writeAddress(SHAPE, "", { open: ["unit:web", "exe:/usr/bin/curl"] })).toBe("open=unit:web,exe:/usr/bin/curl");
    expect(readAddress(SHAPE, written)).toMatchObject({ open, q: "a&b=c#d%20" });
  });
});
