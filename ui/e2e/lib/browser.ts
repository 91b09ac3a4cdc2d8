import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's Chromium, or what CHROMIUM names. */
export function chromiumPath(): string {
  const path = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find((one) => one && existsSync(one));
  if (!path) throw new Error("there is no chromium: make deps");
  return path;
}

export function launch(args: string[] = [], executablePath = chromiumPath()): Promise<Browser> {
  // Tests run as root, and in small containers without a large /dev/shm.
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...args] });
}

/** What a page must never do, collected as it happens: break its policy, ask anybody else, fail in the console. */
export function watch(page: Page, origin: string): { policy: string[]; outside: string[]; errors: string[] } {
  const seen = { policy: [] as string[], outside: [] as string[], errors: [] as string[] };
  page.on("console", (message) => {
    const text = message.text();
    if (/Content.Security.Policy/i.test(text)) seen.policy.push(text);
    else if (message.type() === "error" && !/Failed to load resource/.test(text)) seen.errors.push(text);
  });
  page.on("pageerror", (error) => seen.errors.push(error.stack ?? error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !/^(blob:|data:)/.test(url)) seen.outside.push(url);
  });
  return seen;
}
