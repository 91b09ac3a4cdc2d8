import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, it } from "vitest";
import { launch } from "./lib/browser";
import { fake } from "./lib/fake";
import { choosePassword, Lab, ORIGIN, signIn, until } from "./lib/lab";
import { serve } from "./lib/serve";
import { synthetic } from "./lib/synthetic";

/** Pictures of every page, in both themes, of a world in which something has happened; `make screenshots`. */
const OUT = process.env.SHOTS ?? "e2e/out";
const THEMES = ["dark", "light"] as const;

let lab: Lab;
beforeAll(async () => {
  mkdirSync(OUT, { recursive: true });
  lab = await Lab.up("integration/worlds/tour.toml");
});
afterAll(async () => lab?.down());

it("takes pictures of every page", async () => {
  const context = await lab.context({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.goto(ORIGIN);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    await page.screenshot({ path: `${OUT}/sign-in-${theme}.png` });
  }
  const first = lab.firstPassword();
  await signIn(page, "admin", first);
  await choosePassword(page, first);
  await page.getByRole("link", { name: "Radar" }).waitFor();

  // Something to see: rules that allow, alert and prevent, an anomaly, an object, a draft.
  const active = () => (JSON.parse(lab.ctl("-o", "json", "models", "show", "unit:redis")) as { phase: string }).phase === "active";
  await until("the database's model active", 60, active);
  lab.ctl("services", "define", "billing", "--exe", "/opt/billing/*.jar");
  lab.ctl("tokens", "create", "grafana", "--role", "auditor");
  lab.ctl("users", "add", "olga", "--role", "operator");
  lab.ctl("objects", "add", "office", "10.8.0.0/16", "2001:db8:8::/48");
  lab.ctl(
    "rules",
    "add",
    "--name",
    "the shop may read its pages",
    "--from",
    "shop",
    "--to",
    "nginx",
    "--ports",
    "tcp/80",
    "--effect",
    "allow",
    "--owner",
    "web",
  );
  lab.ctl(
    "rules",
    "add",
    "--name",
    "who else reads them",
    "--from",
    "any",
    "--to",
    "nginx",
    "--ports",
    "tcp/80",
    "--effect",
    "alert",
    "--owner",
    "web",
    "--ticket",
    "OPS-12",
  );
  lab.ctl(
    "rules",
    "add",
    "--name",
    "reports stay out of the cache",
    "--from",
    "report",
    "--to",
    "redis",
    "--ports",
    "tcp/6379",
    "--effect",
    "prevent",
    "--owner",
    "dba",
  );
  for (const host of ["report1", "db1"]) lab.ctl("defenders", "mode", host, "enforce");
  for (let n = 0; n < 3; n++) lab.exec("app1", "--session", "--", "curl", "-sS", "-m", "1", "dict://db1:6379/PING");
  await until("events of all kinds", 30, () => {
    const { events } = JSON.parse(lab.ctl("-o", "json", "events", "list")) as { events: { kind: string }[] };
    return ["rule_alert", "rule_prevent", "anomaly_alert"].every((kind) => events.some((event) => event.kind === kind));
  });
  await page.goto(`${ORIGIN}/defend?new=1&from=worker&to=redis&ports=tcp/6379&effect=prevent`);
  await page.getByRole("dialog").getByLabel("Name", { exact: true }).fill("workers stay out of the cache");
  await page.waitForTimeout(1500);
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    await page.screenshot({ path: `${OUT}/defend-rule-${theme}.png` });
  }
  await page.getByRole("dialog").getByRole("button", { name: "Put into the draft" }).click();

  // One that arrives, as the web server takes whatever is posted to it, and one that nobody takes.
  for (const [name, url] of [
    ["ops", "http://10.86.0.1/alerts"],
    ["on-call", "http://10.86.0.1:1/"],
  ] as const) {
    await page.goto(`${ORIGIN}/settings/channels`);
    await page.getByRole("button", { name: "New channel" }).first().click();
    await page.getByRole("dialog").getByLabel("Name", { exact: true }).fill(name);
    await page.getByRole("dialog").getByLabel("URL").fill(url);
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText(`${name} is added`).waitFor();
  }

  const { events } = JSON.parse(lab.ctl("-o", "json", "events", "list", "--kind", "rule_prevent")) as { events: { id: string }[] };
  const id = encodeURIComponent("unit:report>unit:redis");
  const views: Record<string, string> = {
    radar: "/radar?range=1h",
    "radar-edge": `/radar?range=1h&edge=${id}`,
    "radar-node": `/radar?range=1h&node=${encodeURIComponent("unit:nginx")}`,
    "radar-table": "/radar?range=1h&form=table",
    "radar-draft": "/radar?range=1h&draft=1",
    "radar-compare": "/radar?range=1h&compare=1",
    "radar-host": "/radar?range=1h&group=host",
    defend: "/defend",
    "defend-draft": "/defend/draft",
    "defend-objects": "/defend/objects?object=office",
    "defend-definitions": "/defend/definitions",
    "defend-history": "/defend/history?revision=3",
    monitor: `/monitor?event=${events[0]?.id}`,
    models: "/models?service=unit:redis",
    hosts: "/hosts?host=app1",
    "hosts-enroll": "/hosts?enroll=1",
    settings: "/settings",
    "settings-channels": "/settings/channels?channel=ops",
    "settings-users": "/settings/users",
    "settings-tokens": "/settings/tokens",
    "settings-account": "/settings/account",
    audit: "/audit?entry=9",
  };
  for (const [name, path] of Object.entries(views)) {
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme });
      await page.goto(ORIGIN + path);
      await page.waitForTimeout(1400);
      await page.screenshot({ path: `${OUT}/${name}-${theme}.png` });
    }
  }
}, 240_000);

it("takes pictures of large graphs", async () => {
  const { server, origin } = await serve();
  const browser = await launch();
  for (const [name, services, edges] of [
    ["radar-200", 200, 700],
    ["radar-1000", 1_000, 5_000],
  ] as const) {
    for (const colorScheme of THEMES) {
      const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme, reducedMotion: "reduce" });
      await fake(page, synthetic(services, edges));
      await page.goto(`${origin}/radar?range=all`);
      await page.waitForFunction(() => performance.getEntriesByName("radar:render").length > 0);
      await page.waitForTimeout(500);
      await page.screenshot({ path: `${OUT}/${name}-${colorScheme}.png` });
      await page.close();
    }
  }
  await browser.close();
  server.close();
}, 120_000);
