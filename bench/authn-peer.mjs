// node oidc-provider as the peer of bench/authn.sh: client_credentials, ES256 JWT access tokens, in memory.
// Environment: PORT, CERT, KEY (PEM files), SECRET.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import Provider from 'oidc-provider';

const env = process.env;
const jwk = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'k1' };
const provider = new Provider(`https://localhost:${env.PORT}`, {
  clients: [{ client_id: 'service', client_secret: env.SECRET, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256' }],
  jwks: { keys: [jwk] },
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: '', audience: 'https://api.example', accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'ES256' } } }),
    },
  },
});
provider.proxy = true;
https.createServer({ cert: readFileSync(env.CERT), key: readFileSync(env.KEY) }, provider.callback()).listen(Number(env.PORT), '127.0.0.1');
