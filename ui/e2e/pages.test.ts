import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { open } from "./fake/open";
import { HOSTILE } from "./fake/samples";
import { INSTALL } from "./fake/world";
import { axe } from "./lib/axe";
import { launch } from "./lib/browser";
import { share } from "./lib/share";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

const VIEWS = [
  "/radar",
  "/radar?form=table&compare=1",
  "/radar?node=unit:shop",
  "/radar?edge=exe:/usr/bin/curl%253Eunit:postgresql@15-main",
  "/defend",
  "/defend?rule=curl+is+watched",
  "/defend?new=1&from=any&to=unit:ssh&ports=tcp%252F22&effect=prevent",
  "/defend/objects?object=office",
  "/defend/definitions",
  "/defend/history?revision=42",
  "/defend/draft",
  "/monitor",
  "/monitor?event=53",
  "/models?service=unit:shop",
  "/hosts?host=web2",
  "/hosts?enroll=1",
  "/settings",
  "/settings/channels?channel=on-call",
  "/settings/users",
  "/settings/tokens",
  "/settings/account",
  "/audit?entry=1283",
];

it.each([
  ["full", "dark", {}],
  ["full", "light", {}],
  ["hostile", "dark", { hostile: true }],
  ["empty", "light", { empty: true }],
] as const)("no view violates accessibility, policy or privacy: %s, %s", async (_, theme, options) => {
  const { page, wrong, go, hop } = await open(browser, { theme, ...options });
  await go("/radar");
  for (const view of VIEWS) {
    await hop(view);
    await page.waitForTimeout(150);
    expect(await axe(page), view).toEqual([]);
    expect(wrong(), view).toEqual([]);
  }
});

it("fits narrow screens: nothing but tables scrolls sideways", async () => {
  const { page, go, hop } = await open(browser, { width: 400, height: 800 });
  await go("/radar");
  for (const view of VIEWS) {
    await hop(view);
    await page.waitForTimeout(150);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(over, view).toBeLessThanOrEqual(0);
  }
});

describe("roles", () => {
  it("offers an auditor nothing that changes anything", async () => {
    const { page, world, go, hop } = await open(browser, { role: "auditor" });
    await go("/radar");
    const forbidden =
      /new rule|new object|new definition|new channel|send a test|acknowledge|enrol|activate|suggest|approve|put into|change…|create rule|what can be done/i;
    for (const view of VIEWS.filter((view) => !view.includes("new=1") && !view.includes("enroll"))) {
      await hop(view);
      await page.waitForTimeout(150);
      expect(await page.getByRole("button", { name: forbidden }).filter({ visible: true }).count(), view).toBe(
        view.startsWith("/models?") ? 1 : 0,
      );
      for (const one of await page.getByRole("switch").all()) expect(await one.isDisabled()).toBe(true);
    }
    expect(await page.getByRole("link", { name: "Users" }).count()).toBe(0);
    expect(
      world.calls.filter((call) =>
        /\.(apply|set|add|update|delete|create|acknowledge|rollback|confirm|listUsers|listTokens|test)/.test(call),
      ),
    ).toEqual([]);
  });
  it("offers an operator everything but users, tokens and settings", async () => {
    const { page, go } = await open(browser, { role: "operator" });
    await go("/settings");
    expect(await page.getByRole("textbox").first().isDisabled()).toBe(true);
    expect(await page.getByRole("link", { name: "Users" }).count()).toBe(0);
    await go("/defend");
    await page.getByRole("button", { name: "New rule" }).waitFor();
  });
});

describe("a draft", () => {
  it("collects, says what it does, is applied to be confirmed, and is rolled back", async () => {
    const { page, world, go } = await open(browser);
    await go("/defend");
    await page.getByRole("button", { name: "New rule" }).click();
    const form = page.getByRole("dialog", { name: "New rule" });
    await form.getByLabel("Name").fill("nobody reads the cache");
    await form.getByLabel("From").fill("any");
    await form.getByLabel("To", { exact: true }).fill("unit:redis-server");
    await form.getByLabel("Server ports").fill("tcp/6379");
    await form.getByText("Prevent", { exact: true }).click();
    await page.getByText("live connections on them would be cut").waitFor();
    await page.getByRole("button", { name: "Put into the draft" }).click();
    // Nothing is changed yet, and it outlives the page.
    expect(world.rules.some(({ name }) => name === "nobody reads the cache")).toBe(false);
    await page.reload();
    await page.getByText("Draft: 1 change").waitFor();

    // By keys: to the first place.
    await page.getByRole("grid", { name: "Rules in order" }).focus();
    await page.keyboard.press("End");
    for (let n = 0; n < 8; n += 1) await page.keyboard.press("Alt+ArrowUp");
    await page.getByRole("link", { name: "Review and apply" }).click();
    await page.getByRole("heading", { name: "What it would do" }).waitFor();
    await page.getByRole("grid", { name: "Connections that would be treated differently" }).waitFor();
    await page.getByLabel("Why").fill("OPS-13");
    await page.getByLabel("Afterwards").selectOption("s120");
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByText("is undone unless it is confirmed").waitFor();
    expect(await page.getByRole("timer").textContent()).toMatch(/^(1:5\d|2:00)$/);
    expect(world.rules[0]).toMatchObject({
      name: "nobody reads the cache",
      effect: "prevent",
      ports: ["tcp/6379"],
      from: "any",
      to: "unit:redis-server",
    });
    expect(world.history.at(-1)).toMatchObject({ reason: "OPS-13" });
    await page.getByRole("button", { name: "Keep it" }).click();
    await page.getByText("Revision 43 stays").waitFor();
    expect(world.unconfirmed).toBeUndefined();

    await go("/defend/history?revision=42");
    await page.getByRole("button", { name: "Go back to this…" }).click();
    await page.getByRole("dialog").getByText("nobody reads the cache").waitFor();
    await page.getByRole("button", { name: "Go back", exact: true }).click();
    await page.getByText("Done, as revision 44").waitFor();
    expect(world.rules.some(({ name }) => name === "nobody reads the cache")).toBe(false);
  });
  it("can be undone by a button before its time is over", async () => {
    const { page, world, go } = await open(browser);
    await go("/defend");
    await page.getByRole("switch").first().click();
    await page.getByRole("link", { name: "Review and apply" }).click();
    await page.getByLabel("Afterwards").selectOption("s300");
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByRole("button", { name: "Undo it now" }).click();
    await page.getByText("It is undone.").waitFor();
    expect(world.rules[0]?.enabled).toBe(true);
  });
  it("is carried over when somebody was faster, and says what both changed", async () => {
    const { page, world, go } = await open(browser);
    await go("/defend");
    await page.getByRole("switch", { name: /curl is watched/ }).click();
    world.commit(
      "admin grace",
      "",
      world.rules.map((rule) => (rule.name === "curl is watched" ? { ...rule, effect: "prevent" } : rule)),
      world.objects,
    );
    await page.getByRole("link", { name: "Review and apply" }).click();
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByText("Somebody else changed this too since you began: curl is watched").waitFor();
    expect(world.revision).toBe(43n);
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByText("Applied as revision 44").waitFor();
    expect(world.rules.find(({ name }) => name === "curl is watched")).toMatchObject({ enabled: false, effect: "alert" });
  });
  it("is reordered by dragging", async () => {
    const { page, go } = await open(browser);
    await go("/defend");
    const row = (name: string) => page.getByRole("row", { name });
    await row("telnet is gone").hover();
    const grip = await row("telnet is gone").locator("svg").first().boundingBox();
    const target = await row("shop may read the database").boundingBox();
    if (!grip || !target) throw new Error("not there");
    await page.mouse.move(grip.x + 5, grip.y + 5);
    await page.mouse.down();
    await page.mouse.move(grip.x + 5, target.y + 4, { steps: 12 });
    await page.mouse.up();
    expect(await page.getByRole("row").nth(1).textContent()).toContain("telnet is gone");
    await page.getByText("1 moved").waitFor();
  });
  it("is a policy file, out and in", async () => {
    const { page, world, go } = await open(browser);
    await go("/defend");
    await page.getByRole("button", { name: "More" }).click();
    const download = page.waitForEvent("download");
    await page.getByRole("menuitem", { name: "Export as YAML" }).click();
    const file = await (await download).path();
    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("menuitem", { name: "Import YAML…" }).click();
    await page.locator("input[type=file]").setInputFiles(file);
    await page.getByRole("button", { name: "Put into the draft" }).click();
    // What was exported changes nothing.
    await page.getByText("The draft is empty").waitFor();
    await go("/defend");
    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("menuitem", { name: "Import YAML…" }).click();
    await page.getByLabel("Or its text").fill("version: 1\nrules:\n  - name: r\n    from: any\n    effect: alert\n");
    await page.getByRole("button", { name: "Put into the draft" }).click();
    await page.getByText("line 3 column 5: missing field `to`: add it").waitFor();
    expect(world.revision).toBe(42n);
  });
});

describe("events", () => {
  it("50,000 of them scroll smoothly", async () => {
    const { page, go } = await open(browser, { events: 50_000 });
    await go("/monitor?fold=0");
    await page.getByText("50,000 events", { exact: true }).waitFor({ timeout: 60_000 });
    const grid = page.getByRole("grid", { name: "Events, newest first" });
    expect(await grid.getAttribute("aria-rowcount")).toBe("50001");
    const scroll = () =>
      grid.evaluate(async (box) => {
        const times: number[] = [];
        let last = await new Promise<number>(requestAnimationFrame);
        for (let n = 0; n < 120; n += 1) {
          box.scrollTop += 400;
          const now = await new Promise<number>(requestAnimationFrame);
          times.push(now - last);
          last = now;
        }
        times.sort((a, b) => a - b);
        return { median: times[60] ?? 0, p95: times[114] ?? 0 };
      });
    // For a machine that others use too: the best of some tries counts.
    const tries = [await scroll(), await scroll(), await scroll()];
    const { median, p95 } = tries.reduce((best, one) => (one.p95 < best.p95 ? one : best));
    console.log(`50,000 events: a frame of scrolling takes ${median.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms`);
    expect(p95).toBeLessThanOrEqual(50 * share());
    expect(await page.getByRole("row").count()).toBeLessThan(80);
    await grid.focus();
    await page.keyboard.press("End");
    await page.waitForTimeout(200);
    expect(await page.getByRole("row").last().getAttribute("aria-rowindex")).toBe("50001");
    // A filter over all of them answers while one types.
    await page.getByRole("combobox", { name: "Filter" }).fill("is:acknowledged");
    await page.getByText(/^7,14\d of 50,000 events$/).waitFor({ timeout: 5_000 });
  });
  it("come by themselves, at most four repaints a second, and can be held", async () => {
    const { page, world, go } = await open(browser);
    await go("/monitor?fold=0");
    await page.getByText("60 events", { exact: true }).waitFor();
    await page.evaluate(() => {
      const grid = document.querySelector("[role=grid]");
      (globalThis as unknown as { drawn: number }).drawn = 0;
      new MutationObserver(() => {
        (globalThis as unknown as { drawn: number }).drawn += 1;
      }).observe(grid as Element, { attributes: true, attributeFilter: ["aria-rowcount"] });
    });
    for (let n = 0; n < 100; n += 1) {
      world.happen();
      await page.waitForTimeout(20);
    }
    await page.getByText("160 events", { exact: true }).waitFor();
    const drawn = await page.evaluate(() => (globalThis as unknown as { drawn: number }).drawn);
    expect(drawn).toBeGreaterThan(3);
    expect(drawn).toBeLessThanOrEqual(16);
    await page.getByRole("button", { name: "Hold" }).click();
    for (let n = 0; n < 5; n += 1) world.happen();
    await page.getByText("5 new").waitFor();
    await page.getByText("160 events", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("165 events", { exact: true }).waitFor();
  });
  it("of a lost stream are fetched when it is there again", async () => {
    const { page, world, go } = await open(browser);
    await go("/monitor?fold=0");
    await page.getByText("60 events", { exact: true }).waitFor();
    world.happen();
    await page.getByText("61 events", { exact: true }).waitFor();
    world.breakStreams();
    await page.getByText(/the stream from the controller is lost/).waitFor();
    for (let n = 0; n < 3; n += 1) world.happen();
    world.streamsBroken = false;
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByText("64 events", { exact: true }).waitFor();
    expect(await page.getByText(/the stream from the controller is lost/).count()).toBe(0);
    world.happen();
    await page.getByText("65 events", { exact: true }).waitFor();
  });
  it("are explained, acknowledged, made a rule of, and exported", async () => {
    const { page, world, go } = await open(browser, { hostile: true });
    await go("/monitor?event=55");
    const pane = page.getByRole("complementary", { name: "Event 55" });
    await pane.getByText("rule 4 'curl is watched' (alert)").waitFor();
    await pane.getByText("systemd", { exact: true }).first().waitFor();
    await pane.getByLabel("Note").fill("the backup");
    await pane.getByRole("button", { name: "Acknowledge" }).click();
    await page.getByText("1 event acknowledged").waitFor();
    expect(world.events.find(({ id }) => id === 55n)).toMatchObject({ acknowledged: true, note: "the backup" });
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export" }).click();
    await page.getByRole("menuitem", { name: /CSV/ }).click();
    const chunks: Buffer[] = [];
    for await (const chunk of await (await download).createReadStream()) chunks.push(chunk as Buffer);
    const csv = Buffer.concat(chunks).toString();
    expect(csv.split("\r\n")).toHaveLength(62);
    expect(csv).toContain("\"'=cmd|' /C calc'!A0");
    expect(csv).not.toMatch(/(^|,|\n)"?[=@+]/);
    await go("/monitor?event=52");
    await page.getByRole("button", { name: "Create rule" }).click();
    await page.getByRole("menuitem", { name: "Prevent it…" }).click();
    await page.getByRole("dialog", { name: "New rule" }).waitFor();
    await page.getByRole("button", { name: "Put into the draft" }).click();
    await page.getByText("Draft: 1 change").waitFor();
  });
});

it("hostile names are harmless and readable", async () => {
  const { page, go } = await open(browser, { hostile: true });
  await go("/defend");
  expect(await page.title()).toBe("Defend · cnnf");
  const row = page.getByRole("row", { name: /img src=x/ });
  expect(await row.textContent()).toContain(HOSTILE.html);
  expect(await row.textContent()).toContain("exe⟨U+202E⟩gpj.sh⟨U+2066⟩");
  await row.locator(".name").first().click();
  const pane = page.getByRole("complementary");
  await pane.getByText("1,048,176 characters more").waitFor();
  const height = await pane.evaluate((element) => element.scrollHeight);
  expect(height).toBeLessThan(2_000);
  expect(await page.evaluate(() => document.querySelectorAll("img, script:not([src])").length)).toBe(0);
});

it("a host is enrolled with nothing but what the page shows", async () => {
  const { page, world, go } = await open(browser, { empty: true });
  await go("/hosts");
  await page.getByRole("button", { name: "Enrol a host" }).first().click();
  await page.getByRole("button", { name: "Make a token" }).click();
  const command = page.getByRole("group", { name: /Run this/ });
  expect(await command.textContent()).toBe(
    "cnnf-defender enroll --controller 127.0.0.1:7443 \\\n  --token cnnf1.k3Jd8sLq0aWvYx.5f1c9e0d7b62",
  );
  await page.getByRole("button", { name: "Copy the command" }).nth(1).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await command.textContent());
  // Whoever has no package yet takes the other one, which fetches it first.
  expect(await page.getByRole("group", { name: /As root, this fetches/ }).textContent()).toContain(`${INSTALL} --token cnnf1.`);
  await page.getByText("Waiting for it to come in").waitFor();
  world.enroll("first");
  await page.getByText("first is here.").waitFor();
});

it("hosts whose defender is older than the controller are counted, found and told how to get on", async () => {
  const { page, go } = await open(browser);
  await go("/hosts");
  await page.getByRole("link", { name: "3 outdated" }).click();
  await page.waitForURL("**/hosts?q=is:outdated");
  await expect.poll(() => page.getByRole("row").count()).toBe(1 + 3);
  await page.getByRole("row", { name: /app1/ }).getByText("app1", { exact: true }).click();
  const pane = page.getByRole("complementary", { name: "Host app1" });
  await pane.getByText("Its defender, 0.3.1, is older than the controller.").waitFor();
  expect(await pane.getByRole("group", { name: "Upgrade" }).textContent()).toBe(INSTALL);
});

it("tells the keys of every page, and how its filter is written", async () => {
  const { page, go } = await open(browser);
  await go("/defend");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys and help" }).getByText("move the rule").waitFor();
  expect(await axe(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await go("/hosts");
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Keys and help" }).click();
  const help = page.getByRole("dialog", { name: "Keys and help" });
  await help.getByText("leave these out").waitFor();
  expect(await help.getByText("move the rule").count()).toBe(0);
});

it("people whom a provider signs in have their role and password from there", async () => {
  const { page, go } = await open(browser);
  await go("/settings");
  await page.getByText("Example SSO is offered at sign-in").waitFor();
  await go("/settings/users");
  await page
    .getByRole("row", { name: /lin.*id\.example/ })
    .getByRole("button")
    .last()
    .click();
  await page.getByRole("menuitem", { name: "Disable" }).waitFor();
  expect(await page.getByRole("menuitem").allTextContents()).toEqual(["Disable", "Delete…"]);
});

it("an alert channel is tried out, added, switched off and deleted, and says what became of its messages", async () => {
  const { page, world, go } = await open(browser);
  await go("/settings/channels");
  await page.getByRole("row", { name: /on-call.*Does not arrive.*40.*12/ }).click();
  const pane = page.getByRole("complementary", { name: "Channel on-call" });
  await pane.getByText("connection refused").waitFor();
  await pane.getByRole("button", { name: "Send a test" }).click();
  await pane.getByText("The test arrived, after 37 ms.").waitFor();
  await page.getByRole("button", { name: "New channel" }).click();
  const form = page.getByRole("dialog", { name: "New channel" });
  await form.getByRole("button", { name: "Save" }).click();
  expect(await form.getByLabel("Name", { exact: true }).getAttribute("aria-invalid")).toBe("true");
  await form.getByLabel("Name", { exact: true }).fill("night");
  await form.getByLabel("URL").fill("https://nowhere");
  await form.getByLabel("Rule alert").check();
  await form.getByRole("button", { name: "Send a test" }).click();
  await form.getByText("The test did not arrive: nowhere: no such host").waitFor();
  await form.getByLabel("URL").fill("https://there");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("night is added").waitFor();
  expect(world.channels.at(-1)).toMatchObject({
    name: "night",
    to: { case: "webhook", value: { url: "https://there" } },
    route: { kinds: ["rule_alert"] },
  });
  const act = async (item: string) => {
    await page.getByRole("row", { name: /night/ }).getByRole("button", { name: /night/ }).click();
    await page.getByRole("menuitem", { name: item }).click();
  };
  await act("Switch off");
  await page.getByRole("row", { name: /night.*Off/ }).waitFor();
  await act("Delete…");
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("night is deleted").waitFor();
  expect(world.channels.some(({ name }) => name === "night")).toBe(false);
});

it("keeps filters and selection in the address", async () => {
  const { page, go } = await open(browser);
  await go("/defend");
  await page.keyboard.press("/");
  await page.keyboard.type("effect:pre");
  await page.getByRole("option", { name: /effect:prevent/ }).click();
  await page.waitForURL("**/defend?q=effect:prevent");
  await page
    .getByRole("row", { name: /no mail from the web/ })
    .getByText("no mail from the web", { exact: true })
    .click();
  // What is typed is put there when the typing rests.
  await expect.poll(() => new URL(page.url()).search).toBe("?q=effect:prevent&rule=no+mail+from+the+web");
  await page.reload();
  await page.getByRole("complementary", { name: "Rule no mail from the web" }).waitFor();
  expect(await page.getByRole("row").count()).toBe(4);
  await page.keyboard.press("Escape");
  await page.getByRole("complementary").waitFor({ state: "detached" });
  await page.goBack();
  await page.getByRole("complementary").waitFor();
});

it("goes from page to page: what one has asked for breaks no other", async () => {
  const { page, wrong, go } = await open(browser);
  await go("/defend");
  const pages = page.getByRole("navigation", { name: "Pages" });
  for (const name of ["Radar", "Hosts", "Monitor", "Radar", "Models", "Defend", "Settings", "Audit", "Hosts", "Radar"]) {
    await pages.getByRole("link", { name }).click();
    await page.waitForTimeout(300);
    expect(await page.getByText("This page broke").count(), name).toBe(0);
  }
  expect(wrong()).toEqual([]);
});
