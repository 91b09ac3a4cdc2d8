import { readFileSync } from "node:fs";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watch } from "./lib/browser";
import { choosePassword, Lab, ORIGIN, signIn } from "./lib/lab";

let lab: Lab;
let context: BrowserContext;
let page: Page;
let seen: ReturnType<typeof watch>;

beforeAll(async () => {
  lab = await Lab.up("integration/worlds/empty.toml");
  ({ context, page } = await visitor());
  seen = watch(page, ORIGIN);
});
afterAll(async () => lab?.down());

/** Somebody with a browser of their own. */
async function visitor() {
  const context = await lab.context();
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  return { context, page };
}

// Steps of one story, in their order. Nothing but the page is used, and what it says to run.
describe("somebody new, from an empty controller to the first event", () => {
  it("signs in with the password that init has said, and is told at its field what is wrong with the next", async () => {
    await page.goto(ORIGIN);
    const first = lab.firstPassword();
    await signIn(page, "admin", first);
    await choosePassword(page, "not the password");
    const current = page.getByLabel("Password until now");
    await page.getByText("is not your password").waitFor();
    expect(await current.getAttribute("aria-invalid")).toBe("true");
    expect(await page.locator(`[id="${await current.getAttribute("aria-describedby")}"]`).textContent()).toBe("is not your password");
    await choosePassword(page, first);
    await page.getByRole("link", { name: "Radar" }).waitFor();
  });

  it("lets two hosts in by the commands that the page shows", async () => {
    await page.getByText("No services yet").waitFor();
    await page.getByRole("link", { name: "Enrol a host" }).click();
    await page.getByLabel("For how many hosts").fill("2");
    await page.getByRole("button", { name: "Make a token" }).click();
    const command = await page.getByRole("group", { name: /^Run this/ }).textContent();
    for (const host of ["web1", "app1"]) expect(lab.exec(host, "--session", "--", "sh", "-c", command ?? "")).toBe(0);
    // The page says to start its unit; hosts of namespaces have no systemd, so what the unit runs is run.
    await page.getByText("systemctl enable --now cnnf-defender").waitFor();
    for (const host of ["web1", "app1"]) lab.begin(host, "--unit", "cnnf-defender", "--", "cnnf-defender", "run");
    await page.getByText(/^(web1, app1|app1, web1) is here\.$/).waitFor();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("row", { name: /web1.*Observe/ }).waitFor();
  });

  it("sees who talks to whom, without a reload", async () => {
    await page.getByRole("link", { name: "Radar" }).click();
    const graph = page.getByRole("application");
    await graph.waitFor();
    await page.keyboard.press("t");
    const edge = page.getByRole("row", { name: /client.*nginx.*tcp\/80/ });
    await edge.waitFor();
    await edge.click();
    await page.getByRole("complementary").waitFor();
  });

  it("makes a rule of the edge, and has the first event", async () => {
    await page.getByRole("button", { name: "Create rule" }).click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Name", { exact: true }).fill("who reads the pages");
    await form.getByRole("button", { name: "Put into the draft" }).click();
    await page.getByRole("link", { name: "Review and apply" }).click();
    await page.getByLabel("Why", { exact: true }).fill("my first rule");
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByText("Applied as revision").waitFor();
    await page.getByRole("link", { name: "Monitor" }).click();
    await page
      .getByRole("row", { name: /client.*nginx/ })
      .first()
      .waitFor();
  });

  it("has somebody told of events, once a test arrived", async () => {
    await page.goto(`${ORIGIN}/settings/channels`);
    await page.getByRole("button", { name: "New channel" }).first().click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Name", { exact: true }).fill("ops");
    await form.getByLabel("URL").fill("ftp://10.86.0.1/");
    await form.getByRole("button", { name: "Send a test" }).click();
    await form.locator("[aria-invalid=true]").waitFor();
    expect(await form.getByLabel("URL").getAttribute("aria-invalid")).toBe("true");
    // Nobody listens there; the web server takes whatever is posted to it.
    await form.getByLabel("URL").fill("http://10.86.0.1:1/");
    await form.getByRole("button", { name: "Send a test" }).click();
    await form.getByText("The test did not arrive:").waitFor();
    await form.getByLabel("URL").fill("http://10.86.0.1/");
    await form.getByRole("button", { name: "Send a test" }).click();
    await form.getByText(/The test arrived, after \d+ ms\./).waitFor();
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("row", { name: /ops.*Webhook.*Nothing sent yet/ }).waitFor();
  });

  it("is told at its field what the controller does not take", async () => {
    await page.goto(`${ORIGIN}/defend/definitions`);
    await page.getByRole("button", { name: "New definition" }).first().click();
    const form = page.getByRole("dialog");
    // The page takes both for names and paths; the controller knows better.
    await form.getByLabel("Name", { exact: true }).fill("any");
    await form.getByLabel("Units").fill("nginx");
    await form.getByText("a service cannot be named 'any'").waitFor();
    expect(await form.getByLabel("Name", { exact: true }).getAttribute("aria-invalid")).toBe("true");
    await page.keyboard.press("Escape");
  });
});

describe("roles", () => {
  const NEW = "another good password";
  const people: Record<string, Page> = {};

  /** What each call needs, by the controller's own table. */
  const calls = readFileSync(new URL("../../bins/cnnf-controller/src/auth/table.rs", import.meta.url), "utf8")
    .split('"cnnf.v1.')
    .slice(1)
    .flatMap((part) => {
      const service = `cnnf.v1.${part.slice(0, part.indexOf('"'))}`;
      return [...part.matchAll(/\("(\w+)", (\w+)\)/g)].map(([, call, needs = ""]) => ({ path: `/${service}/${call}`, needs }));
    });
  const thatNeed = (...of: string[]) => calls.filter(({ needs }) => of.includes(needs)).map(({ path }) => path);

  it("are given by an administrator, who hands over a first password", async () => {
    for (const [name, role] of [
      ["olga", "operator"],
      ["ada", "auditor"],
    ] as const) {
      await page.goto(`${ORIGIN}/settings/users`);
      await page.getByRole("button", { name: "Add a user" }).click();
      const form = page.getByRole("dialog");
      await form.getByLabel("Name", { exact: true }).fill(name);
      await form.getByLabel("Role").selectOption(role);
      await form.getByRole("button", { name: "Make one up" }).click();
      const first = await form.getByLabel("First password").inputValue();
      await form.getByRole("button", { name: "Add a user" }).click();
      await form.getByText("it is not shown again").waitFor();
      const { page: theirs } = await visitor();
      people[name] = theirs;
      await theirs.goto(`${ORIGIN}/defend`);
      await signIn(theirs, name, first);
      await choosePassword(theirs, first, NEW);
      await theirs.getByRole("row", { name: /who reads the pages/ }).waitFor();
    }
  });

  it("offer an operator everything but users, tokens and settings; the controller refuses these", async () => {
    const theirs = people.olga as Page;
    await theirs.getByRole("button", { name: "New rule" }).waitFor();
    await theirs.goto(`${ORIGIN}/settings`);
    await theirs.getByText("Only administrators change settings.").waitFor();
    expect(await theirs.getByRole("link", { name: "Users" }).count()).toBe(0);
    expect(await theirs.getByRole("textbox").first().isDisabled()).toBe(true);
    expect(thatNeed("Admin").length).toBeGreaterThan(5);
    expect(await answersTo(theirs, thatNeed("Admin", "Defender"))).toEqual([DENIED]);
  });

  it("offer an auditor nothing that changes anything; the controller refuses all of it", async () => {
    const theirs = people.ada as Page;
    expect(await theirs.getByRole("button", { name: "New rule" }).count()).toBe(0);
    await theirs.getByRole("row", { name: /who reads the pages/ }).click();
    await theirs.getByRole("complementary").waitFor();
    expect(await theirs.getByRole("button", { name: /^Change/ }).count()).toBe(0);
    await theirs.goto(`${ORIGIN}/monitor`);
    await theirs
      .getByRole("row", { name: /client.*nginx/ })
      .first()
      .click();
    await theirs.getByRole("complementary").waitFor();
    expect(await theirs.getByRole("button", { name: /acknowledge|create rule/i }).count()).toBe(0);
    await theirs.goto(`${ORIGIN}/hosts`);
    await theirs.getByRole("row", { name: /web1/ }).waitFor();
    expect(await theirs.getByRole("button", { name: "Enrol a host" }).count()).toBe(0);
    expect(thatNeed("Operator").length).toBeGreaterThan(20);
    expect(await answersTo(theirs, thatNeed("Admin", "Operator", "Defender"))).toEqual([DENIED]);
  });

  it("end at once with the session: the page asks anew, without a click, and goes on where it was", async () => {
    const theirs = people.olga as Page;
    await theirs.goto(`${ORIGIN}/radar?form=table&range=1h&q=nginx`);
    await theirs.getByRole("row", { name: /client.*nginx/ }).waitFor();
    await page.goto(`${ORIGIN}/settings/users`);
    const act = async (item: string) => {
      await page.getByRole("row", { name: /olga/ }).getByRole("button", { name: /olga/ }).click();
      await page.getByRole("menuitem", { name: item }).click();
    };
    await act("Disable");
    await page.getByRole("alertdialog").getByRole("button", { name: "Disable" }).click();
    await theirs.getByText("Your session has ended.").waitFor();
    expect(await theirs.getByRole("row").count(), "nothing is left to be seen").toBe(0);
    await signIn(theirs, "olga", NEW);
    await theirs.getByText("User and password do not fit.").waitFor();
    await act("Enable");
    await page.getByRole("row", { name: /olga.*Can sign in/ }).waitFor();
    await signIn(theirs, "olga", NEW);
    await theirs.getByRole("row", { name: /client.*nginx/ }).waitFor();
    expect(new URL(theirs.url()).searchParams.get("q")).toBe("nginx");
  });

  it("asked nobody else, broke no policy and failed nowhere", async () => {
    expect(seen).toEqual({ policy: [], outside: [], errors: [] });
    await context.close();
  });
});

/** gRPC's word for what a role does not allow. */
const DENIED = "7";

/** What is answered to empty requests that are made as the page makes them, each answer once. */
function answersTo(page: Page, paths: readonly string[]): Promise<string[]> {
  return page.evaluate(async (paths) => {
    const answers = new Set<string>();
    for (const path of paths) {
      const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
      const answer = await fetch(path, { method: "POST", headers, body: new Uint8Array(5) });
      const status = answer.headers.get("grpc-status") ?? /grpc-status: ?(\d+)/.exec(await answer.text())?.[1] ?? `HTTP ${answer.status}`;
      answers.add(status === "7" ? status : `${path}: ${status}`);
    }
    return [...answers];
  }, paths);
}
