import { describe, expect, it } from "vitest";
import { countAddresses, isAddresses, isWithin, rangeOf, wrongAddress } from "./address";

describe("addresses", () => {
  it("takes addresses, networks and ranges of both families", () => {
    const right = [
      "10.0.0.1",
      "0.0.0.0/0",
      "10.8.0.0/16",
      "10.0.0.1-10.0.0.9",
      "::",
      "::1",
      "2001:db8:8::/48",
      "fd86::-fd86::9",
      "::ffff:10.0.0.1",
    ];
    for (const text of right) expect(wrongAddress(text), text).toBeUndefined();
    expect(isAddresses("10.0.0.1, 2001:db8::/32")).toBe(true);
    expect(isAddresses("10.0.0.1,web")).toBe(false);
  });
  it("says what is wrong", () => {
    const bad = (text: string) => `'${text}' is no address: use 10.0.0.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9`;
    const none = [
      "",
      "ten",
      "10.0.0",
      "10.0.0.256",
      "010.0.0.1",
      "10.0.0.0/33",
      "10.0.0.0/",
      "1::2::3",
      "1:2:3",
      "fffff::",
      "1:2:3:4:5:6:7::8",
      "::/129",
    ];
    for (const text of none) expect(wrongAddress(text), text).toBe(bad(text));
    expect(wrongAddress("10.0.0.1/8")).toBe("'10.0.0.1/8' has host bits set: write 10.0.0.0/8");
    expect(wrongAddress("2001:db8::1/32")).toBe("'2001:db8::1/32' has host bits set: write 2001:db8::/32");
    expect(wrongAddress("10.0.0.9-10.0.0.1")).toBe("'10.0.0.9-10.0.0.1' runs backwards or mixes IPv4 with IPv6");
    expect(wrongAddress("10.0.0.9-::1")).toBe("'10.0.0.9-::1' runs backwards or mixes IPv4 with IPv6");
  });
  it("counts each address once", () => {
    const count = (...texts: string[]) => countAddresses(texts.flatMap((text) => rangeOf(text) ?? []));
    expect(count("10.0.0.0/24", "10.0.0.128-10.0.1.9", "10.0.0.7", "::/64")).toEqual({ four: 266n, six: 1n << 64n });
    expect(count("0.0.0.0/0", "1.2.3.4")).toEqual({ four: 1n << 32n, six: 0n });
    expect(count("ten", "10.0.0.1/8")).toEqual({ four: 0n, six: 0n });
  });
  it("knows what lies within", () => {
    const ranges = ["10.8.0.0/16", "fd86::10-fd86::1f"].flatMap((text) => rangeOf(text) ?? []);
    for (const text of ["10.8.0.0", "10.8.255.255", "10.8.3.0/24", "fd86::1a"]) expect(isWithin(text, ranges), text).toBe(true);
    for (const text of ["10.9.0.0", "10.0.0.0/8", "fd86::20", "private", "::ffff:10.8.0.1"])
      expect(isWithin(text, ranges), text).toBe(false);
  });
});
