// An identity provider for tests: a real one (oidc-provider), with its own pages to sign in and to agree. It prints its address; each line of
// its input, as JSON, makes it anew with other keys: {redirect, users: {NAME: claims}}. It ends with its input.
//
//   node oidc-provider.mjs CERTIFICATE KEY
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const [, , certificate, key] = process.argv;
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
await new Promise((resolve) => server.listen(0, "localhost", resolve));
const issuer = `https://localhost:${server.address().port}`;
console.log(issuer);

for await (const line of createInterface({ input: process.stdin })) {
  const { redirect, users } = JSON.parse(line);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    clients: [{ client_id: "cnnf", client_secret: "a secret: with / odd & letters%", redirect_uris: [redirect] }],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: String(Date.now()) }] },
    claims: { profile: ["preferred_username"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "profile", "email", "groups"],
    pkce: { required: () => true },
    cookies: { keys: ["not secret"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...users[id] }) }),
  });
  server.removeAllListeners("request");
  server.on("request", provider.callback());
  console.log("ready");
}
server.closeAllConnections();
server.close();
