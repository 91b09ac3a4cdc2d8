import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { chromiumPath, launch } from "./browser";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** Where the programs are that were built. */
export const BIN = process.env.CNNF_BIN_DIR ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug");

/** Where the controller of a world is. */
export const ORIGIN = "https://10.86.0.250:8443";
/** A free address of the world, for the browser. */
const OURS = "10.86.0.253/24";
export const PASSWORD = "correct horse battery staple";

/** A world of the lab with a browser inside of its network. */
export class Lab {
  private constructor(
    private readonly dir: string,
    private readonly wrapper: string,
    public readonly browser: Browser,
  ) {}

  /** Brings a world up; `down` takes it away, also when this process ends before. */
  static async up(world: string): Promise<Lab> {
    const dir = `/run/cnnf-lab/ui-${process.pid}`;
    const run = (...args: string[]) => execFileSync(join(BIN, "cnnf-lab"), ["--dir", dir, ...args], { encoding: "utf8" });
    spawnSync(join(BIN, "cnnf-lab"), ["--dir", dir, "down"]);
    run("up", join(ROOT, world), "--while", String(process.pid));
    const { bridge } = JSON.parse(run("status", "-o", "json")) as { bridge: { pid: number; device: string } };
    execFileSync("nsenter", ["-t", String(bridge.pid), "-n", "sh", "-c", `ip link set lo up; ip addr add ${OURS} dev ${bridge.device}`]);
    // Playwright starts a program; this one is Chromium in the world's network.
    const folder = `/run/cnnf-ui-${process.pid}`;
    mkdirSync(folder, { recursive: true });
    const wrapper = join(folder, "chromium");
    writeFileSync(wrapper, `#!/bin/sh\nexec nsenter -t ${bridge.pid} -n ${chromiumPath()} "$@"\n`);
    chmodSync(wrapper, 0o755);
    const browser = await launch(["--ignore-certificate-errors"], wrapper);
    return new Lab(dir, folder, browser);
  }

  private lab(args: string[]): SpawnSyncReturns<string> {
    return spawnSync(join(BIN, "cnnf-lab"), ["--dir", this.dir, ...args], { encoding: "utf8" });
  }

  /** What the lab says; throws where it fails. */
  run(...args: string[]): string {
    const done = this.lab(args);
    if (done.status !== 0) throw new Error(`cnnf-lab ${args.join(" ")}: ${done.status}: ${done.stderr}`);
    return done.stdout;
  }

  /** The exit code of a command on a host. */
  exec(host: string, ...args: string[]): number {
    return this.lab(["exec", host, ...args]).status ?? -1;
  }

  /** Begins a command on a host that goes on until the world ends. */
  begin(host: string, ...args: string[]): void {
    spawn(join(BIN, "cnnf-lab"), ["--dir", this.dir, "exec", host, ...args], { stdio: "ignore" }).unref();
  }

  ctl(...args: string[]): string {
    return this.run("ctl", "--", ...args);
  }

  /** The administrator's first password. */
  firstPassword(): string {
    const found = /one-time password: (\S+)/.exec(this.run("logs", "controller", "cnnf-controller-init"));
    if (!found?.[1]) throw new Error("init has said no password");
    return found[1];
  }

  context(more: Parameters<Browser["newContext"]>[0] = {}): Promise<BrowserContext> {
    return this.browser.newContext({
      viewport: { width: 1440, height: 900 },
      colorScheme: "dark",
      reducedMotion: "reduce",
      ignoreHTTPSErrors: true,
      ...more,
    });
  }

  async down(): Promise<void> {
    await this.browser.close().catch(() => {});
    this.lab(["down"]);
    rmSync(this.wrapper, { recursive: true, force: true });
  }
}

/** Signs in on the page that is open. */
export async function signIn(page: Page, user: string, password: string): Promise<void> {
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Changes the first password for another one. */
export async function choosePassword(page: Page, first: string, next = PASSWORD): Promise<void> {
  await page.getByLabel("Password until now").fill(first);
  await page.getByLabel("New password", { exact: true }).fill(next);
  await page.getByLabel("New password once more").fill(next);
  await page.getByRole("button", { name: "Change the password" }).click();
}

/** Waits until something holds, asking often. */
export async function until(what: string, seconds: number, holds: () => boolean | Promise<boolean>): Promise<number> {
  const begun = Date.now();
  for (;;) {
    if (await holds()) return Date.now() - begun;
    if (Date.now() - begun > seconds * 1000) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}
