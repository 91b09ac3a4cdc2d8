import type { Server } from "node:http";
import { loadavg } from "node:os";
import { create } from "@bufbuild/protobuf";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RadarSchema } from "~/gen/cnnf/v1/admin_pb";
import { launch, watch } from "./lib/browser";
import { fake } from "./lib/fake";
import { serve } from "./lib/serve";
import { share } from "./lib/share";
import { synthetic } from "./lib/synthetic";

/** Milliseconds; from the arrival of the data to the picture, without the layout, which a worker makes meanwhile. */
const FIRST_RENDER = 300;
const PAN_P95 = 50;
/** For a machine that others use too: the best of so many tries counts. */
const TRIES = 4;

let browser: Browser;
let server: Server;
let origin: string;

beforeAll(async () => {
  ({ server, origin } = await serve());
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

interface Figures {
  layout: number;
  render: number;
  p95: number;
  frames: number;
}

async function measure(page: Page): Promise<Figures> {
  await page.waitForFunction(() => performance.getEntriesByName("radar:render").length > 0, undefined, { timeout: 30_000 });
  const entries = await page.evaluate(() =>
    ["radar:layout", "radar:render"].map((name) => performance.getEntriesByName(name)[0]?.duration ?? 0),
  );
  const frames = await page.evaluate(async () => {
    // Drags by real pointer events, one a frame, and times the frames between.
    const canvas = document.querySelector("canvas[data-layer=above]");
    if (!canvas) throw new Error("no canvas");
    const at = (x: number, y: number) => ({ clientX: x, clientY: y, bubbles: true, button: 0, buttons: 1, view: window });
    canvas.dispatchEvent(new MouseEvent("mousedown", at(700, 450)));
    const times: number[] = [];
    let last = 0;
    for (let n = 0; n < 90; n++) {
      await new Promise((next) => requestAnimationFrame(next));
      const now = performance.now();
      if (last) times.push(now - last);
      last = now;
      window.dispatchEvent(new MouseEvent("mousemove", at(700 + 200 * Math.sin(n / 8), 450 + 120 * Math.cos(n / 8))));
    }
    window.dispatchEvent(new MouseEvent("mouseup", at(700, 450)));
    return times;
  });
  frames.sort((a, b) => a - b);
  return { layout: entries[0] ?? 0, render: entries[1] ?? 0, p95: frames[Math.floor(frames.length * 0.95)] ?? 0, frames: frames.length };
}

describe("the budgets", () => {
  it.each([
    ["1,000 services and 5,000 edges, folded as they start", 1_000, 5_000, ""],
    ["1,000 services and 5,000 edges, all of them", 1_000, 5_000, "&group=none"],
    ["5,000 services and 25,000 edges, folded as they start", 5_000, 25_000, ""],
  ])("hold for %s", async (what, services, edges, query) => {
    const radar = synthetic(services, edges);
    let best: Figures | undefined;
    let allowed = 1;
    for (let n = 0; n < TRIES; n++) {
      const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
      const seen = watch(page, origin);
      await fake(page, radar);
      await page.goto(`${origin}/radar?range=all${query}`);
      const figures = await measure(page);
      expect(seen).toEqual({ policy: [], outside: [], errors: [] });
      await page.close();
      if (!best || figures.p95 / PAN_P95 + figures.render / FIRST_RENDER < best.p95 / PAN_P95 + best.render / FIRST_RENDER) best = figures;
      allowed = share();
      if (best.p95 <= PAN_P95 && best.render <= FIRST_RENDER) break;
    }
    const ms = (value: number | undefined) => `${(value ?? 0).toFixed(0)} ms`;
    console.log(
      `${what}: first picture ${ms(best?.render)} after ${ms(best?.layout)} of layout in the worker, frames of a drag ${ms(best?.p95)} at p95; load ${loadavg()[0]?.toFixed(1)}`,
    );
    expect(best?.frames).toBeGreaterThan(60);
    expect(best?.render).toBeLessThanOrEqual(FIRST_RENDER * allowed);
    expect(best?.p95).toBeLessThanOrEqual(PAN_P95 * allowed);
  });
});

describe("hostile names", () => {
  const HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a\u202Egnp.exe",
    "\u0000\u0007",
    `${"x".repeat(1 << 20)}`,
    "a>b",
    "%00",
    "😀".repeat(300),
    " ",
  ];
  it("are drawn, listed and opened without harm", async () => {
    const radar = create(RadarSchema, {
      nodes: HOSTILE.map((id) => ({ id, name: id, kind: "service", instances: 1, phase: "active", mode: "enforce" })),
      edges: HOSTILE.map((id, n) => ({
        client: { service: id },
        server: { service: HOSTILE[(n + 1) % HOSTILE.length] ?? "" },
        protocol: "tcp",
        port: 80,
        status: "alerted",
        connections: 1n,
        lastSeen: "2026-11-24T09:00:00Z",
      })),
    });
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    const seen = watch(page, origin);
    let dialogs = 0;
    page.on("dialog", (dialog) => {
      dialogs += 1;
      void dialog.dismiss();
    });
    await fake(page, radar);
    await page.goto(`${origin}/radar?range=all`);
    await page.getByRole("application").waitFor();
    await page.keyboard.press("t");
    for (let n = 0; n < HOSTILE.length; n++) {
      await page
        .getByRole("row")
        .nth(n + 1)
        .click();
      await page.getByRole("complementary").waitFor();
    }
    const text = await page.evaluate(() => document.body.textContent ?? "");
    expect(text.length).toBeLessThan(60_000);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(text).not.toMatch(/[\u202a-\u202e\u0000\u0007]/);
    expect(await page.locator("img").count()).toBe(0);
    expect(dialogs).toBe(0);
    expect(seen).toEqual({ policy: [], outside: [], errors: [] });
  });
});
