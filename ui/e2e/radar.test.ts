import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { open } from "./fake/open";
import { type Picture, somePicture } from "./fake/picture";
import { HOSTILE } from "./fake/samples";
import { launch } from "./lib/browser";
import { synthetic } from "./lib/synthetic";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

/** A picture of as many services and edges, with hubs and addresses. */
const large = (services: number, edges: number) => synthetic(services, edges) as unknown as Picture;
const said = (page: Page) => new URL(page.url()).searchParams;
const graph = (page: Page) => page.getByRole("application");
const services = (page: Page) => page.getByText(/^[\d,]+ services? · [\d,]+ connections?$/);
const legend = (page: Page, name: string) =>
  page.getByRole("list", { name: "Legend and filter" }).getByRole("button", { name: new RegExp(`^${name}`) });
const painted = (page: Page) => graph(page).evaluate((host) => Number((host as HTMLElement).dataset.painted));

describe("Radar", () => {
  it("does all of it by keys", async () => {
    const { page, go } = await open(browser);
    await go("/radar");
    await graph(page).waitFor();
    await page.keyboard.press("]");
    await expect.poll(() => said(page).get("edge")).toBeTruthy();
    const first = said(page).get("edge");
    await page.getByRole("complementary").waitFor();
    await page.keyboard.press("]");
    await expect.poll(() => said(page).get("edge")).not.toBe(first);
    await page.keyboard.press("[");
    await expect.poll(() => said(page).get("edge")).toBe(first);
    await page.keyboard.press("Escape");
    await page.getByRole("complementary").waitFor({ state: "detached" });
    // Stepping has moved the camera, which is in the address; 0 shows all again.
    await expect.poll(() => said(page).get("camera")).toBeTruthy();
    await page.keyboard.press("0");
    await expect.poll(() => said(page).get("camera")).toBeNull();
    await page.keyboard.press("+");
    await expect.poll(() => said(page).get("camera")).toBeTruthy();
    await page.keyboard.press("c");
    await expect.poll(() => said(page).get("connected")).toBe("1");
    await page.keyboard.press("c");
    await page.keyboard.press("/");
    await page.keyboard.type("nginx");
    await expect.poll(() => said(page).get("q")).toBe("nginx");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await expect.poll(() => said(page).get("q")).toBeNull();
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await page.getByRole("grid", { name: "Connections" }).waitFor();
    await page.keyboard.press("t");
    await graph(page).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys and signs" }).getByText("previous and next incident").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  it("says which filter leaves nothing, and takes it back", async () => {
    const { page, go } = await open(browser);
    await go("/radar?q=nobody-is-called-so&connected=1");
    await page.getByText("Left out by the search “nobody-is-called-so”, “connected only”.").waitFor();
    await page.getByRole("button", { name: "Clear the filters" }).click();
    await graph(page).waitFor();
    expect(new URL(page.url()).search).toBe("");
  });

  it("filters by its legend in both forms, and shows what is amiss or services alone", async () => {
    const { page, go } = await open(browser);
    await go("/radar?form=table");
    const rows = page.getByRole("row");
    await rows.filter({ hasText: "Learned" }).first().waitFor();
    expect(await page.getByRole("list", { name: "Legend and filter" }).getByRole("button").count()).toBe(3 + 8);
    await legend(page, "Learned").click();
    await expect.poll(() => rows.filter({ hasText: "Learned" }).count()).toBe(0);
    expect(said(page).get("hide")).toBe("learned");
    await legend(page, "Amiss").click();
    await expect
      .poll(async () => new Set(await page.locator("[role=row] [role=gridcell]:first-child").allTextContents()))
      .toEqual(new Set(["×Prevented", "!Alerted", "Not in a model"]));
    // By keys, only one of them.
    await legend(page, "Prevented").focus();
    await page.keyboard.press("Shift+Enter");
    await expect.poll(() => rows.count()).toBe(1 + 2);
    await page.keyboard.press("t");
    await graph(page).waitFor();
    await services(page).filter({ hasText: "2 connections" }).waitFor();
    await legend(page, "None").click();
    await services(page).filter({ hasText: "14 services · 0 connections" }).waitFor();
    await legend(page, "All$").click();
    await services(page).filter({ hasText: "14 services · 15 connections" }).waitFor();
  });

  it("keeps services that talk to nearly all as chips, in both forms", async () => {
    const { page, go } = await open(browser, { picture: large(200, 700) });
    await go("/radar?range=all&form=table");
    const chip = page.getByRole("list", { name: "Hubs" }).getByRole("button", { name: /dnsmasq/ });
    await chip.waitFor();
    await page.getByText(/connections of hubs not drawn/).waitFor();
    const edges = async () => Number((await services(page).textContent())?.match(/· ([\d,]+)/)?.[1]?.replace(",", ""));
    const before = await edges();
    await chip.click();
    await expect.poll(edges).toBeGreaterThan(before + 20);
    expect(said(page).get("hubs")).toBe("unit:dnsmasq");
    await page.reload();
    await expect.poll(edges).toBeGreaterThan(before + 20);
  });

  it("folds more than 300 services into groups, by keys and back, and groups by host and label", async () => {
    const { page, go } = await open(browser, { picture: large(400, 1_500) });
    await go("/radar?range=all");
    await graph(page).focus();
    const said_ = page.locator("[aria-live=polite]");
    await page.keyboard.press("ArrowRight");
    await said_.filter({ hasText: /^group, .*×/ }).waitFor({ state: "attached" });
    await page.keyboard.press("Enter");
    await expect.poll(() => said(page).get("open")).toBeTruthy();
    await page.getByLabel("Group by").selectOption("label:role");
    await expect.poll(() => said(page).get("group")).toBe("label:role");
    expect(said(page).get("open")).toBeNull();
    await page.getByLabel("Group by").selectOption("host");
    await expect.poll(() => said(page).get("group")).toBe("host");
    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("menuitem", { name: "Unfold all groups" }).click();
    await expect.poll(() => (said(page).get("open") ?? "").split(",").length).toBeGreaterThan(20);
  });

  it("compares two times", async () => {
    const { page, go } = await open(browser);
    await go("/radar?form=table");
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByLabel("against").selectOption({ label: "a week earlier" });
    await expect.poll(() => said(page).get("against")).toBe(String(7 * 86_400));
    const days = async () => {
      const [, first, second] = (await page.getByText(/^\(\d{4}-/).textContent())?.match(/\((\S+) .* to (\S+) /) ?? [];
      return [first, second].map((day) => Math.round((Date.now() - Date.parse(`${day}T00:00:00Z`)) / 86_400_000));
    };
    await expect.poll(days).toEqual([expect.toBeOneOf([8, 9]), expect.toBeOneOf([7, 8])]);
    await page.getByLabel("against").selectOption({ label: "a time of your own" });
    const own = new Date(Date.now() - 40 * 86_400_000).toISOString().slice(0, 16);
    await page.getByLabel("that begins at").fill(own);
    await expect.poll(days).toEqual([expect.toBeOneOf([40, 41]), expect.toBeOneOf([39, 40])]);
    for (const change of ["New", "Gone", "More", "Less"])
      await page
        .getByRole("row", { name: new RegExp(`${change}\\b`) })
        .first()
        .waitFor();
    await legend(page, "Changed").click();
    await expect.poll(() => page.getByRole("row").count()).toBe(1 + 4);
    expect(said(page).get("hide")).toBe("same");
    await page.getByRole("row", { name: /More/ }).first().click();
    await page.getByRole("complementary").getByText("before 90").waitFor();
  });

  it("is exported as a picture, a drawing, for Graphviz and as data", async () => {
    const { page, go } = await open(browser, { hostile: true });
    await go("/radar");
    await graph(page).waitFor();
    const files: Record<string, Buffer> = {};
    for (const [item, end] of [
      ["Picture, PNG", "png"],
      ["Drawing, SVG", "svg"],
      ["Graphviz, DOT", "dot"],
      ["Data, JSON", "json"],
    ] as const) {
      await page.getByRole("button", { name: "Export" }).click();
      const download = page.waitForEvent("download");
      await page.getByRole("menuitem", { name: item }).click();
      const file = await download;
      expect(file.suggestedFilename()).toMatch(new RegExp(`^radar-\\d{4}-\\d\\d-\\d\\d-.*\\.${end}$`));
      files[end] = readFileSync(await file.path());
    }
    expect(files.png?.subarray(1, 4).toString()).toBe("PNG");
    expect(files.png?.length).toBeGreaterThan(10_000);
    const svg = files.svg?.toString() ?? "";
    expect(svg).toContain("postgresql@15-main");
    expect(svg).not.toContain("<script");
    const read = await page.evaluate((text) => new DOMParser().parseFromString(text, "image/svg+xml").querySelector("parsererror"), svg);
    expect(read).toBeNull();
    expect(files.dot?.toString()).toContain('"unit:shop" -> "unit:postgresql@15-main"');
    const { edges } = JSON.parse(files.json?.toString() ?? "") as { edges: { from: string; to: string }[] };
    expect(edges).toContainEqual(expect.objectContaining({ from: "unit:shop", to: "unit:redis-server", port: 6379 }));
  });

  it("is repainted at most four times a second, moves nothing that is there, and goes on after a lost stream", async () => {
    const { page, world, go } = await open(browser);
    await go("/radar");
    await graph(page).waitFor();
    await services(page).filter({ hasText: "15 connections" }).waitFor();
    await page.waitForTimeout(800);
    const before = await painted(page);
    const begun = Date.now();
    // Every time with one edge more: each is a picture of its own.
    for (let n = 0; n < 60; n++) {
      const [edge] = somePicture(false).edges;
      if (edge)
        world.picture = {
          ...world.picture,
          edges: [...world.picture.edges, { ...edge, client: { service: "unit:mail" }, port: 1_000 + n }],
        };
      world.change("topology");
      await page.waitForTimeout(40);
    }
    await services(page).filter({ hasText: "16 connections" }).waitFor();
    const times = (await painted(page)) - before;
    expect(times).toBeGreaterThan(2);
    expect(times).toBeLessThanOrEqual(Math.ceil(((Date.now() - begun) / 1_000 + 1) * 4));
    await page.keyboard.press("]");
    await expect.poll(() => said(page).get("camera")).toBeTruthy();
    const camera = said(page).get("camera");

    world.breakStreams();
    await page.getByText(/Live updates stopped at \d\d:\d\d:\d\d/).waitFor();
    await graph(page).waitFor();
    world.picture = { ...world.picture, edges: world.picture.edges.slice(0, 3) };
    world.streamsBroken = false;
    await page.getByText(/Live updates stopped/).waitFor({ state: "detached", timeout: 15_000 });
    world.change("topology");
    await services(page).filter({ hasText: "3 connections" }).waitFor({ timeout: 15_000 });
    expect(said(page).get("camera")).toBe(camera);
  });

  it("counts everybody whom a service may reach, and lists them as they are wanted", async () => {
    const { page, world, go } = await open(browser, { hostile: true, targets: 6_000 });
    await go("/radar?node=unit:shop");
    const pane = page.getByRole("complementary");
    await pane.getByText("Unused 1,505").waitFor();
    expect(world.calls.filter((call) => call === "TopologyService.getReach")).toHaveLength(2);
    const listed = pane.locator("li").filter({ hasText: /far-\d/ });
    await pane.getByRole("button", { name: "Show 300 of 1,475 more" }).click();
    await expect.poll(() => listed.count()).toBeGreaterThan(300);
    await pane.getByText(/^Shut 1,505/).click();
    await pane.getByText("May not be reached and never were.").waitFor();
    const text = (await pane.textContent()) ?? "";
    expect(text).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
    expect(text.length).toBeLessThan(20_000);
    expect(await page.evaluate(() => document.querySelectorAll("img, script:not([src])").length)).toBe(0);
    expect(await page.title()).not.toContain(HOSTILE.html);
  });

  it("leads from an edge to its events and its counts over time", async () => {
    const { page, go } = await open(browser);
    await go(`/radar?edge=${encodeURIComponent("exe:/usr/bin/curl>unit:postgresql@15-main")}`);
    const pane = page.getByRole("complementary");
    await pane.getByRole("img", { name: /^Connections: / }).waitFor();
    await pane.getByText(/^[\d,]+ in all$/).waitFor();
    await pane.getByRole("link", { name: /^All events/ }).click();
    await page.waitForURL("**/monitor?**");
    expect(said(page).get("q")).toBe("from:exe:/usr/bin/curl to:unit:postgresql@15-main");
    await page
      .getByRole("row", { name: /curl.*postgresql/ })
      .first()
      .waitFor();
  });

  it("without a service says how to enrol a host to whoever may, and to nobody else", async () => {
    const { page, go } = await open(browser, { empty: true });
    await go("/radar");
    await page.getByText("cnnf-defender enroll --controller").waitFor();
    const { page: theirs, go: goes } = await open(browser, { empty: true, role: "auditor" });
    await theirs.goto("about:blank");
    await goes("/radar");
    await theirs.getByText("as soon as an operator has enrolled a host").waitFor();
    expect(await theirs.getByRole("link", { name: "Enrol a host" }).count()).toBe(0);
  });
});
