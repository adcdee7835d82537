// A real OpenID Connect provider on a free port of this machine: writes its address as the first line of stdout, ends with stdin.
// Whoever signs in with the name NAME is NAME@example.org; the groups are those in GROUPS.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

import Provider from "oidc-provider";

const told = JSON.parse(process.argv[2]);
const GROUPS = { ann: ["ml-admins", "staff"], bob: ["ml"], eve: ["visitors"] };

function key(kind, options, alg) {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: `${alg}-1` };
}

const server = createServer();
server.listen(0, told.host ?? "127.0.0.1", () => {
  const issuer = `http://${told.host ?? "127.0.0.1"}:${server.address().port}`;
  const client = {
    client_id: "fairway",
    client_secret: "the client's secret & more",
    redirect_uris: [told.redirect],
    response_types: ["code"],
    grant_types: ["authorization_code"],
  };
  const provider = new Provider(issuer, {
    clients: [client, { ...client, client_id: "elliptic", id_token_signed_response_alg: "ES256", token_endpoint_auth_method: "client_secret_post" },
      { ...client, client_id: "public", client_secret: undefined, token_endpoint_auth_method: "none" }],
    jwks: { keys: [key("rsa", { modulusLength: 2048 }, "RS256"), key("ec", { namedCurve: "P-256" }, "ES256")] },
    cookies: { keys: ["for tests only"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    conformIdTokenClaims: told.conform,
    findAccount: (_, name) => ({
      accountId: name,
      claims: () => ({ sub: name, name, email: `${name}@example.org`, email_verified: name !== "mal", groups: GROUPS[name] ?? [] }),
    }),
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true } },
    ttl: { Interaction: 600, Session: 600, Grant: 600 },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
