// A stock relying party (openid-client) signs a person in through the HTML forms of sextant-authn, as a
// browser without JavaScript would, then refreshes, reads userinfo, introspects, revokes and logs out.
// Environment: ISSUER, USERNAME_, PASSWORD_, PUBLIC_CLIENT, CONFIDENTIAL_CLIENT, CONFIDENTIAL_SECRET, REDIRECT,
// AUDIENCE. The certificate authority comes by NODE_EXTRA_CA_CERTS.
import assert from 'node:assert/strict';
import * as client from 'openid-client';

const env = process.env;
const issuer = new URL(env.ISSUER);
let steps = 0;
const done = (what) => console.log(`ok ${++steps} - ${what}`);

// A browser: cookies by name, forms by their fields, no script, redirects followed by hand.
class Browser {
  cookies = new Map();
  async go(url, body) {
    const response = await fetch(new URL(url, issuer), {
      method: body ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ') },
      body: body && new URLSearchParams(body),
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
      assert.match(line, /; Secure; HttpOnly; SameSite=Lax/);
    }
    return { status: response.status, location: response.headers.get('location'), text: await response.text() };
  }
}
const unescape = (s) => s.replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
const field = (html, name) => unescape(html.match(new RegExp(`name="${name}" value="([^"]*)"`))[1]);

// From an authorization URL to the redirect that ends it.
async function signIn(browser, url, password = env.PASSWORD_) {
  let page = await browser.go(url);
  while (page.status === 303 && new URL(page.location, issuer).origin === issuer.origin) {
    const at = page.location;
    page = await browser.go(at);
    assert.equal(page.status, 200);
    assert.ok(!/<script/i.test(page.text), 'pages hold no script');
    const form = { csrf: field(page.text, 'csrf') };
    const login = page.text.includes('type="password"');
    page = await browser.go(`${at}/${login ? 'login' : 'consent'}`, login ? { ...form, username: env.USERNAME_, password } : form);
  }
  return page;
}

async function authorize(config, browser, extra = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: env.REDIRECT,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...extra,
  });
  return { url, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}

const config = await client.discovery(issuer, env.PUBLIC_CLIENT, undefined, client.None());
assert.equal(config.serverMetadata().issuer, env.ISSUER);
done('discovery');

const browser = new Browser();
const first = await authorize(config, browser);
const wrong = await signIn(new Browser(), first.url, 'not the password');
assert.equal(wrong.status, 403);
done('a wrong password is refused');

const back = await signIn(browser, first.url);
assert.equal(back.status, 303);
const tokens = await client.authorizationCodeGrant(config, new URL(back.location), first.checks);
assert.ok(tokens.claims().sub && tokens.refresh_token);
for (const right of ['roles', 'permissions', 'groups', 'entitlements']) {
  assert.ok(!(right in tokens.claims()));
}
done('code with PKCE, ID token verified by openid-client');

const me = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
assert.equal(me.preferred_username, env.USERNAME_);
done('userinfo');

await assert.rejects(client.authorizationCodeGrant(config, new URL(back.location), first.checks), (e) => e.error === 'invalid_grant');
await assert.rejects(client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub));
done('a code used twice is refused, and what it gave is revoked');

const second = await authorize(config, browser);
const silent = await signIn(browser, second.url);
let current = await client.authorizationCodeGrant(config, new URL(silent.location), second.checks);
done('single sign-on');

const rotated = await client.refreshTokenGrant(config, current.refresh_token);
assert.notEqual(rotated.refresh_token, current.refresh_token);
const repeated = await client.refreshTokenGrant(config, current.refresh_token);
assert.equal(repeated.refresh_token, rotated.refresh_token);
done('refresh rotates, and a repeat within the grace gives the same successor');

const third = await authorize(config, browser);
const forged = await signIn(browser, third.url);
await assert.rejects(
  client.authorizationCodeGrant(config, new URL(forged.location), { ...third.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }),
  (e) => e.error === 'invalid_grant',
);
done('a wrong code_verifier is refused');

const machine = await client.discovery(issuer, env.CONFIDENTIAL_CLIENT, undefined, client.ClientSecretBasic(env.CONFIDENTIAL_SECRET));
const service = await client.clientCredentialsGrant(machine, { resource: env.AUDIENCE });
assert.equal(service.token_type, 'bearer');
done('client_credentials');

const seen = await client.tokenIntrospection(machine, rotated.access_token);
assert.equal(seen.active, true);
assert.equal(seen.sub, current.claims().sub);
done('introspection');

await client.tokenRevocation(config, rotated.access_token);
assert.equal((await client.tokenIntrospection(machine, rotated.access_token)).active, false);
done('revocation');

const out = client.buildEndSessionUrl(config, { id_token_hint: current.id_token, post_logout_redirect_uri: env.REDIRECT, state: 'bye' });
const left = await browser.go(out);
assert.equal(left.status, 303);
assert.equal(left.location, `${env.REDIRECT}?state=bye`);
await assert.rejects(client.refreshTokenGrant(config, rotated.refresh_token), (e) => e.error === 'invalid_grant');
done('logout ends the session and its refresh tokens');

const none = await authorize(config, browser, { prompt: 'none' });
const refused = await browser.go(none.url);
assert.match(refused.location, /error=login_required/);
done('prompt=none after logout: login_required');
console.log(`1..${steps}`);
