import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { BIN } from "./lab";

/** The provider knows its client by this, odd as a secret may be. */
const SECRET = "a secret: with / odd & letters%";

/** The first thing that a program says that fits. */
async function says(child: ChildProcess, from: "stdout" | "stderr", part: RegExp): Promise<RegExpExecArray> {
  const lines = createInterface({ input: child[from] as NodeJS.ReadableStream });
  const timer = setTimeout(() => child.kill(), 20_000);
  try {
    for await (const line of lines) {
      const found = part.exec(line);
      if (found) return found;
    }
  } finally {
    clearTimeout(timer);
    lines.close();
    // What it says later is read too, or it would wait for a reader.
    child[from]?.resume();
  }
  throw new Error(`it ended without saying ${part}`);
}

/** A controller on this machine, and a real identity provider beside it that it lets sign people in. */
export class Provided {
  private constructor(
    private readonly folder: string,
    private readonly programs: ChildProcess[],
    readonly origin: string,
    readonly issuer: string,
    readonly password: string,
  ) {}

  /** With people, and what the provider says of them. */
  static async up(users: Record<string, object>): Promise<Provided> {
    const folder = mkdtempSync(join(tmpdir(), "cnnf-oidc-"));
    const data = join(folder, "data");
    const controller = join(BIN, "cnnf-controller");
    const told = execFileSync(controller, ["init", "--data-dir", data, "--name", "127.0.0.1", "--name", "localhost"], { encoding: "utf8" });
    const pki = (file: string) => join(data, "pki", file);
    // The controller's own certificate is for localhost too.
    const script = fileURLToPath(new URL("./oidc-provider.mjs", import.meta.url));
    const provider = spawn(process.execPath, [script, pki("server.crt"), pki("server.key")], { stdio: ["pipe", "pipe", "ignore"] });
    const programs: ChildProcess[] = [provider];
    try {
      const [issuer] = await says(provider, "stdout", /^https:.*/);
      writeFileSync(join(folder, "secret"), SECRET);
      const config = {
        issuer,
        name: "The lab",
        client_id: "cnnf",
        client_secret_file: join(folder, "secret"),
        ca_file: pki("ca.crt"),
        scopes: ["profile", "email", "groups"],
        admins: ["chiefs"],
        operators: ["ops"],
        domains: ["example.com"],
      };
      const lines = Object.entries(config).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
      writeFileSync(join(folder, "controller.toml"), ["[oidc]", ...lines, ""].join("\n"));
      const child = spawn(
        controller,
        ["run", "--data-dir", data, "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--config", join(folder, "controller.toml")],
        { stdio: ["ignore", "ignore", "pipe"] },
      );
      programs.push(child);
      const [, web] = await says(child, "stderr", /the controller runs.*\bweb(?:=|":")(127\.0\.0\.1:\d+)/);
      const origin = `https://${web}`;
      provider.stdin?.write(`${JSON.stringify({ redirect: `${origin}/auth/oidc/callback`, users })}\n`);
      await says(provider, "stdout", /^ready$/);
      return new Provided(folder, programs, origin, issuer ?? "", told.trim().split(" ").at(-1) ?? "");
    } catch (error) {
      end(programs, folder);
      throw error;
    }
  }

  /** The provider is gone; the controller stays. */
  endProvider(): void {
    this.programs[0]?.kill("SIGKILL");
  }

  down(): void {
    end(this.programs, this.folder);
  }
}

function end(programs: readonly ChildProcess[], folder: string): void {
  for (const program of programs) program.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
