import { expect, it } from "vitest";
import { visible } from "./visible";

it("leaves what people write alone", () => {
  for (const text of ["nginx", "größer", "日本語", "<b>&amp;</b>", "=cmd|' /C calc'!A0"]) expect(visible(text)).toEqual({ text, cut: 0 });
});
it("writes out what a browser would hide or obey", () => {
  expect(visible("exe\u202etxt.sh\n\u200b").text).toBe("exe⟨U+202E⟩txt.sh⟨U+000A⟩⟨U+200B⟩");
});
it("cuts a mebibyte and says how much is missing", () => {
  const shown = visible("x".repeat(1 << 20), 100);
  expect(shown.text).toHaveLength(100);
  expect(shown.cut).toBe((1 << 20) - 100);
});
it("does not cut a pair in half", () => {
  expect(visible("ab😀", 3)).toEqual({ text: "ab", cut: 2 });
  expect(visible("ab😀", 4)).toEqual({ text: "ab😀", cut: 0 });
});
