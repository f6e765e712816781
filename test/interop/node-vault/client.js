// A service as it would be written against Vault with node-vault, run against sextant-secrets:
// AppRole login, a KV secret, dynamic PostgreSQL credentials with renewal and revocation, wrapping, denial.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');

const options = { endpoint: process.env.VAULT_ADDR, requestOptions: { ca: fs.readFileSync(process.env.VAULT_CACERT) } };
const NodeVault = require('node-vault');

async function refused(promise, status) {
  try {
    await promise;
  } catch (e) {
    assert.strictEqual(e.response.statusCode, status, `${e.message} is not a ${status}`);
    return;
  }
  assert.fail(`was not refused with ${status}`);
}

async function prepare(root) {
  await root.mount({ mount_point: 'kv', type: 'kv-v2' });
  await root.enableAuth({ mount_point: 'approle', type: 'approle' });
  await root.addPolicy({ name: 'shop', rules: 'path "kv/data/shop/*" { capabilities = ["read"] }\n' +
      'path "database/creds/shop" { capabilities = ["read"] }\n' });
  await root.write('kv/data/shop/api', { data: { key: 'k-1' } });
  await root.addApproleRole({ role_name: 'shop', policies: 'shop', token_ttl: 600 });
  const role = await root.getApproleRoleId({ role_name: 'shop' });
  const secret = await root.getApproleRoleSecret({ role_name: 'shop' });
  return { role_id: role.data.role_id, secret_id: secret.data.secret_id };
}

async function database(root, shop) {
  await root.mount({ mount_point: 'database', type: 'database' });
  await root.write('database/config/pg', { plugin_name: 'postgresql-database-plugin', allowed_roles: 'shop',
    connection_url: process.env.PG_URL, username: process.env.PG_USER, password: process.env.PG_PASSWORD });
  await root.write('database/roles/shop', { db_name: 'pg', default_ttl: '5m', max_ttl: '1h', creation_statements:
      'CREATE ROLE "{{name}}" WITH LOGIN PASSWORD \'{{password}}\' VALID UNTIL \'{{expiration}}\';' });
  const creds = await shop.read('database/creds/shop');
  assert.match(creds.data.username, /^v-approle-shop-/);
  assert.strictEqual(creds.lease_duration, 300);
  const renewed = await root.write('sys/leases/renew', { lease_id: creds.lease_id, increment: 600 });
  assert.strictEqual(renewed.lease_duration, 600);
  await root.write('sys/leases/revoke', { lease_id: creds.lease_id, sync: true });
  await refused(root.write('sys/leases/lookup', { lease_id: creds.lease_id }), 400);
  console.log('node-vault: dynamic credentials of PostgreSQL: leased, renewed, revoked');
}

async function main() {
  const root = NodeVault({ ...options, token: process.env.VAULT_TOKEN });
  const health = await root.health();
  assert.strictEqual(health.sealed, false);
  const login = await prepare(root);
  const shop = NodeVault(options);
  const auth = await shop.approleLogin(login);
  shop.token = auth.auth.client_token;
  const secret = await shop.read('kv/data/shop/api');
  assert.strictEqual(secret.data.data.key, 'k-1');
  await refused(shop.read('kv/data/other/api'), 403);
  await refused(NodeVault({ ...options, token: 'hvs.none' }).read('kv/data/shop/api'), 403);
  const self = await shop.tokenLookupSelf();
  assert.ok(self.data.policies.includes('shop'));
  console.log('node-vault: AppRole login, KV secret, denials');
  if (process.env.PG_URL) {
    await database(root, shop);
  } else {
    console.log('node-vault: dynamic credentials skipped: no PostgreSQL');
  }
  await shop.tokenRevokeSelf();
  await refused(shop.read('kv/data/shop/api'), 403);
  console.log('node-vault: ok');
}

main().catch((e) => { console.error(e.stack || e); process.exit(1); });
