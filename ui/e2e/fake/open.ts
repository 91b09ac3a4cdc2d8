import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { onTestFinished } from "vitest";
import { serve } from "./server";
import { type Options, SERVICES, World } from "./world";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));

/** Debian's Chromium; tests run as root and in small containers. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
}

export interface Opened {
  page: Page;
  world: World;
  /** What a page must never do: break its policy, ask anybody else, fail in the console. */
  wrong: string[];
  go(path: string): Promise<void>;
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
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(error.stack ?? error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) wrong.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !/^(blob:|data:)/.test(request.url())) wrong.push(request.url());
  });
  onTestFinished(async () => {
    await context.close();
    await server.close();
  });
  return {
    page,
    world,
    wrong,
    go: async (path) => {
      await page.goto(server.url + path);
      await page.locator("h1").waitFor();
    },
  };
}
