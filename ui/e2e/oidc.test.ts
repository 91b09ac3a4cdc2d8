import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch, watch } from "./lib/browser";
import { choosePassword, signIn } from "./lib/lab";
import { Provided } from "./lib/provider";

let place: Provided;
let browser: Browser;

const person = (name: string, ...groups: string[]) => ({
  preferred_username: name,
  email: `${name}@example.com`,
  email_verified: true,
  groups,
});

beforeAll(async () => {
  place = await Provided.up({ ann: person("ann", "staff", "ops"), carl: person("carl", "chiefs"), bob: person("bob", "staff") });
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  place?.down();
});

/** Somebody with a browser of their own, before the page that asks who they are. */
async function visitor(path: string): Promise<Page> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, colorScheme: "dark", reducedMotion: "reduce" });
  // The provider's own pages ask for a font of somebody else's.
  await context.route(
    (url) => ![place.origin, place.issuer].includes(url.origin),
    (route) => route.abort(),
  );
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(place.origin + path);
  return page;
}

/** From the button through the provider's own pages. */
async function byProvider(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: "Sign in with The lab" }).click();
  await page.waitForURL((url) => url.origin === place.issuer);
  await page.locator("[name=login]").fill(name);
  await page.locator("[name=password]").fill("any");
  await page.locator("[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((url) => url.origin === place.origin);
}

it("a button leads to the provider and back to where one was, with the role that its groups give", async () => {
  const ann = await visitor("/hosts?q=mode:enforce");
  await byProvider(ann, "ann");
  const seen = watch(ann, place.origin);
  await ann.getByRole("button", { name: "Enrol a host" }).first().waitFor();
  expect(new URL(ann.url()).search).toBe("?q=mode:enforce");
  await ann.goto(`${place.origin}/settings/account`);
  await ann.getByText("Operator", { exact: true }).first().waitFor();
  expect(await ann.getByRole("link", { name: "Users" }).count()).toBe(0);
  expect(seen).toEqual({ policy: [], outside: [], errors: [] });

  const carl = await visitor("/settings/users");
  await byProvider(carl, "carl");
  await carl.getByRole("row", { name: /ann.*Operator.*localhost/ }).waitFor();
  await carl.getByRole("row", { name: /carl.*Admin.*localhost/ }).waitFor();
  // Whose role is the provider's to give is not offered another one.
  await carl.getByRole("row", { name: /ann/ }).getByText("ann", { exact: true }).click();
  expect(await carl.getByRole("dialog").count()).toBe(0);
  await carl.goto(`${place.origin}/settings/account`);
  await carl.getByText(place.issuer).first().waitFor();
  expect(await carl.getByLabel("New password", { exact: true }).count()).toBe(0);
});

it("whom the provider knows and the controller does not want stays out, and is told why", async () => {
  const bob = await visitor("/radar");
  await byProvider(bob, "bob");
  await bob.getByText(/in no group/).waitFor();
  await bob.goto(`${place.origin}/radar`);
  await bob.getByRole("button", { name: "Sign in" }).waitFor();
});

it("passwords work beside it, also when the provider is gone", async () => {
  place.endProvider();
  const page = await visitor("/radar");
  await page.getByRole("link", { name: "Sign in with The lab" }).waitFor();
  await signIn(page, "admin", place.password);
  await choosePassword(page, place.password);
  await page.getByText("No services yet").waitFor();
});
