import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { onTestFinished } from "vitest";
import { watch } from "../lib/browser";
import { serve } from "./server";
import { type Options, SERVICES, World } from "./world";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));

export interface Opened {
  page: Page;
  world: World;
  /** What the page has done that it must never do. */
  wrong(): string[];
  go(path: string): Promise<void>;
  /** Goes there as a link does, without loading the page anew. */
  hop(path: string): Promise<void>;
}

/** A page before a made-up controller of its own; both are gone when the test is. */
export async function open(
  browser: Browser,
  options: Options & { theme?: "dark" | "light"; width?: number; height?: number } = {},
): Promise<Opened> {
  const { theme = "dark", width = 1360, height = 820, ...rest } = options;
  const world = new World(rest);
  const server = await serve(SERVICES, world.handlers(), DIST);
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const seen = watch(page, server.url);
  onTestFinished(async () => {
    await context.close();
    await server.close();
  });
  return {
    page,
    world,
    wrong: () => [...seen.policy, ...seen.outside, ...seen.errors],
    go: async (path) => {
      await page.goto(server.url + path);
      await page.locator("h1").waitFor();
    },
    hop: async (path) => {
      await page.evaluate((path) => history.pushState(null, "", path), path);
      const [name] = /\w+/.exec(path) ?? [];
      await page.locator("h1", { hasText: new RegExp(`^${name}$`, "i") }).waitFor({ state: "attached" });
    },
  };
}
