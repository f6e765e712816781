// A Workload API client on a gRPC stack of other people's making: what each method gives, how a
// rotation arrives, and with which status each refusal comes. Prints one line a check; exits 0 if all held.
'use strict';
const {execFileSync} = require('child_process');
const crypto = require('crypto');
const path = require('path');
const http = require('http');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const TD = 'spiffe://interop.test', ID = TD + '/ns/test/sa/js';
const socket = process.env.SOCKET, cli = process.env.CLI, config = process.env.CONFIG;
const definition = loader.loadSync(path.join(__dirname, 'workload.proto'), {keepCase: true});
const Api = grpc.loadPackageDefinition(definition).SpiffeWorkloadAPI;
const client = new Api('unix://' + socket, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set('workload.spiffe.io', 'true');

let failures = 0;
function check(what, good, got) {
  console.log(`${good ? 'ok  ' : 'FAIL'} ${what}${good ? '' : ': ' + JSON.stringify(got)}`);
  failures += good ? 0 : 1;
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
function unary(method, request, md = metadata) {
  return new Promise((done) => client[method](request, md, {deadline: Date.now() + 5000}, (e, r) => done([e, r])));
}
// Reads messages of a stream into a queue that can be waited on.
function open(method, md = metadata) {
  const call = client[method]({}, md), queue = [], waiting = [];
  const put = (item) => (waiting.length ? waiting.shift()(item) : queue.push(item));
  call.on('data', (message) => put({message, at: process.hrtime.bigint()}));
  call.on('error', (error) => put({error, at: process.hrtime.bigint()}));
  call.on('end', () => put({end: true}));
  const next = (ms = 15000) => queue.length ? Promise.resolve(queue.shift()) : new Promise((done) => {
    const timer = setTimeout(() => { waiting.splice(waiting.indexOf(take), 1); done({timeout: true}); }, ms);
    const take = (item) => { clearTimeout(timer); done(item); };
    waiting.push(take);
  });
  return {call, next};
}
const run = (...args) => execFileSync(cli, [...args, '--config', config], {encoding: 'utf8'});

// DER certificates laid end to end.
function certificates(der) {
  const out = [];
  for (let at = 0; at < der.length;) {
    const long = der[at + 1] & 0x80, n = long ? der.readUIntBE(at + 2, der[at + 1] & 0x7f) : der[at + 1];
    const size = n + 2 + (long ? der[at + 1] & 0x7f : 0);
    out.push(new crypto.X509Certificate(der.subarray(at, at + size)));
    at += size;
  }
  return out;
}

function checkSvid(svid) {
  const chain = certificates(svid.x509_svid), [root] = certificates(svid.bundle);
  const key = crypto.createPrivateKey({key: svid.x509_svid_key, format: 'der', type: 'pkcs8'});
  check('SVID is of the entry', svid.spiffe_id === ID, svid.spiffe_id);
  check('URI SAN is the SPIFFE id', chain[0].subjectAltName.includes('URI:' + ID), chain[0].subjectAltName);
  check('key belongs to the certificate', chain[0].checkPrivateKey(key));
  check('leaf is signed by the intermediate', chain[0].verify(chain[1].publicKey));
  check('intermediate is signed by the bundle', chain[1].verify(root.publicKey) && !chain[0].ca && chain[1].ca);
  return chain[0].serialNumber;
}

async function x509() {
  const bare = open('FetchX509SVID', new grpc.Metadata());
  const refused = await bare.next();
  check('without the security header: InvalidArgument', refused.error && refused.error.code === 3, refused);
  const nobody = await open('FetchX509SVID').next();
  check('without an entry: PermissionDenied, "no identity issued"',
    nobody.error && nobody.error.code === 7 && nobody.error.details === 'no identity issued', nobody);
  run('entry', 'create', '-spiffeID', ID, '-parentID', TD + '/sextant/identity', '-selector',
    'unix:path:' + process.execPath, '-x509SVIDTTL', '6', '-entryID', 'js', '-dns', 'js.test');
  const stream = open('FetchX509SVID'), first = await stream.next();
  check('first message at once', first.message && first.message.svids.length === 1, first);
  const serial = checkSvid(first.message.svids[0]);
  const second = await stream.next();
  const rotated = second.message && checkSvid(second.message.svids[0]);
  check('a rotation arrives by itself, with another serial', rotated && rotated !== serial, second);
  return stream;
}

async function jwt() {
  const [none] = await unary('FetchJWTSVID', {});
  check('no audience: InvalidArgument', none && none.code === 3, none);
  const [foreign] = await unary('FetchJWTSVID', {audience: ['a'], spiffe_id: TD + '/other'});
  check('an id that is not ours: PermissionDenied', foreign && foreign.code === 7, foreign);
  const [e, reply] = await unary('FetchJWTSVID', {audience: ['a', 'b']});
  check('a token for two audiences', !e && reply.svids.length === 1, e);
  const token = reply.svids[0].svid, [head, body, signature] = token.split('.');
  const bundles = await open('FetchJWTBundles').next();
  check('JWT bundles by trust domain id', bundles.message && Object.keys(bundles.message.bundles).join() === TD, bundles);
  const keys = JSON.parse(bundles.message.bundles[TD]).keys, header = JSON.parse(Buffer.from(head, 'base64url'));
  const jwk = keys.find((k) => k.kid === header.kid);
  check('token verifies with the key of its kid', jwk && crypto.verify('sha256', Buffer.from(head + '.' + body),
    {key: crypto.createPublicKey({key: jwk, format: 'jwk'}), dsaEncoding: 'ieee-p1363'}, Buffer.from(signature, 'base64url')), header);
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  check('claims: sub, both audiences, five minutes', claims.sub === ID && claims.aud.join() === 'a,b' &&
    claims.exp - claims.iat === 300, claims);
  const [bad, good] = await unary('ValidateJWTSVID', {audience: 'b', svid: token});
  check('ValidateJWTSVID says who', !bad && good.spiffe_id === ID && good.claims.fields.sub.stringValue === ID, bad);
  const [wrong] = await unary('ValidateJWTSVID', {audience: 'c', svid: token});
  check('wrong audience: InvalidArgument', wrong && wrong.code === 3, wrong);
  const [forged] = await unary('ValidateJWTSVID', {audience: 'b', svid: token.slice(0, -6) + 'AAAAAA'});
  check('forged token: InvalidArgument', forged && forged.code === 3, forged);
}

// From a changed entry to the message on an open stream; the admin API is called over its socket, as respond does.
function change(names) {
  const body = JSON.stringify({spiffe_id: ID, parent_id: TD + '/sextant/identity', dns_names: names, x509_svid_ttl: 3600,
    selectors: ['unix:path:' + process.execPath]});
  const headers = {'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-sextant-caller': 'operator'};
  return new Promise((done, fail) => http.request({socketPath: path.dirname(socket) + '/admin.sock', method: 'PUT',
    path: '/v1/entries/js', headers}, (r) => { r.resume(); r.on('end', () => done(r.statusCode)); }).on('error', fail).end(body));
}

async function push(stream) {
  const took = [];
  for (let i = 0; i < 20; i++) {
    for (let item; !(item = await stream.next(50)).timeout;) if (!item.message) return check('the stream stays open', false, item);
    const start = process.hrtime.bigint(), status = await change(['n' + i + '.test']);
    const {message, at} = await stream.next();
    if (status !== 200 || !message) return check('a changed entry is pushed', false, {status, message});
    took.push(Number(at - start) / 1e6);
  }
  took.sort((a, b) => a - b);
  console.log(`     a changed entry was on the stream after ${took[10].toFixed(1)} ms (median), ${took[19].toFixed(1)} ms (most)`);
  check('a changed entry is on the open stream within a second', took[19] < 1000, took);
}

async function rest(stream) {
  const bundles = await open('FetchX509Bundles').next();
  check('X.509 bundles by trust domain id', bundles.message && Object.keys(bundles.message.bundles).join() === TD &&
    certificates(bundles.message.bundles[TD])[0].ca, bundles);
  const wit = await open('FetchWITSVID').next();
  check('WIT profile: Unimplemented', wit.error && wit.error.code === 12, wit);
  run('ban', '-spiffeID', ID, '-reason', 'interop');
  let last = await stream.next();
  while (last.message) last = await stream.next();
  check('banned: the open stream ends with PermissionDenied', last.error && last.error.code === 7, last);
  const [e] = await unary('FetchJWTSVID', {audience: ['a']});
  check('banned: no token', e && e.code === 7, e);
  run('unban', '-spiffeID', ID);
  const again = open('FetchX509SVID'), back = await again.next();
  check('unbanned: an SVID again', back.message && back.message.svids.length === 1, back);
  run('entry', 'delete', '-entryID', 'js');
  let gone = await again.next();
  while (gone.message) gone = await again.next();
  check('entry deleted: the open stream ends with PermissionDenied', gone.error && gone.error.code === 7, gone);
}

(async () => {
  const stream = await x509();
  await jwt();
  await push(stream);
  await rest(stream);
  client.close();
  process.exit(failures ? 1 : 0);
})().catch((e) => { console.error(e); process.exit(1); });
setTimeout(() => { console.error('timed out'); process.exit(1); }, 60000).unref();
