import { describe, expect, it } from "vitest";
import { isAddresses, wrongAddress } from "./address";

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
});
