// node-zookeeper-client: `ok` and what held on a line for each check, `done` at the end.
//
//     client.js operations HOSTS
//     client.js reconnect HOSTS      says `armed`, then waits for its caller to end the server it is on
'use strict';

const assert = require('assert');
const zookeeper = require('node-zookeeper-client');

const { ACL, CreateMode, Event, Exception, Id, Permission, State } = zookeeper;
const PATIENCE_MS = 30000;

function ok(what) {
  console.log(`ok Node client: ${what}`);
}

function equal(what, found, expected) {
  assert.deepStrictEqual(found, expected, `${what}: found ${JSON.stringify(found)}`);
  ok(what);
}

/** A client's calls as promises; what calls back with several values gives an array. */
function promised(client) {
  const call = (name) => (...args) => new Promise((resolve, reject) => {
    client[name](...args, (error, ...values) => {
      if (error) {
        reject(error);
      } else {
        resolve(values.length > 1 ? values : values[0]);
      }
    });
  });
  const names = ['create', 'remove', 'exists', 'getData', 'setData', 'getChildren', 'getACL',
    'setACL', 'mkdirp'];
  const calls = Object.fromEntries(names.map((name) => [name, call(name)]));
  return { client, ...calls, close: () => closed(client) };
}

async function open(hosts) {
  const client = zookeeper.createClient(hosts, { sessionTimeout: 6000, spinDelay: 100, retries: 5 });
  const connected = new Promise((resolve) => client.once('connected', resolve));
  client.connect();
  await within('connected', connected);
  ok('connects');
  return promised(client);
}

function closed(client) {
  const gone = new Promise((resolve) => client.once('disconnected', resolve));
  client.close();
  return within('disconnected', gone);
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function until(what, holds) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert(Date.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  ok(what);
}

async function fails(what, promise, code) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.getCode && error.getCode(), code, `${what}: ${error}`);
    ok(what);
    return;
  }
  assert.fail(`${what}: no error`);
}

/** A watcher and the next event that it is told. */
function watcher() {
  let tell;
  const event = new Promise((resolve) => { tell = resolve; });
  return { told: (e) => tell([e.getType(), e.getPath()]), event };
}

/** The client's own misses what lies deepest. */
async function removeAll(zk, path) {
  for (const child of (await zk.getChildren(path))[0]) {
    await removeAll(zk, `${path}/${child}`);
  }
  await zk.remove(path);
}

async function data(zk) {
  equal('create', await zk.create('/n', Buffer.from('one')), '/n');
  await fails('a second one', zk.create('/n'), Exception.NODE_EXISTS);
  await fails('without a parent', zk.create('/no/n'), Exception.NO_NODE);
  const [value, stat] = await zk.getData('/n');
  equal('getData', value.toString(), 'one');
  equal('its stat', [stat.version, stat.dataLength, stat.numChildren], [0, 3, 0]);
  equal('null data', await zk.create('/n/null', null).then(() => zk.getData('/n/null')).then((a) => a[0]), undefined);
  equal('empty data', (await zk.create('/n/empty', Buffer.alloc(0)).then(() => zk.getData('/n/empty')))[0].length, 0);
  equal('setData', (await zk.setData('/n', Buffer.from('two'), 0)).version, 1);
  await fails('with an old version', zk.setData('/n', Buffer.from('x'), 0), Exception.BAD_VERSION);
  equal('exists of nothing', await zk.exists('/none'), null);
  await fails('getData of nothing', zk.getData('/none'), Exception.NO_NODE);

  equal('sequential', await zk.create('/n/s-', CreateMode.PERSISTENT_SEQUENTIAL), '/n/s-0000000002');
  equal('ephemeral', await zk.create('/n/e', CreateMode.EPHEMERAL), '/n/e');
  const owner = (await zk.exists('/n/e')).ephemeralOwner.toString('hex');
  equal('its owner', owner, zk.client.getSessionId().toString('hex'));
  equal('both', await zk.create('/n/es-', CreateMode.EPHEMERAL_SEQUENTIAL), '/n/es-0000000004');
  await fails('no child below an ephemeral', zk.create('/n/e/x'), Exception.NO_CHILDREN_FOR_EPHEMERALS);

  const [names, parent] = await zk.getChildren('/n');
  equal('children', names.sort(), ['e', 'empty', 'es-0000000004', 'null', 's-0000000002']);
  equal('and their parent', parent.numChildren, 5);
  await fails('remove of a parent', zk.remove('/n'), Exception.NOT_EMPTY);
  await fails('with a wrong version', zk.remove('/n/empty', 7), Exception.BAD_VERSION);
  await zk.remove('/n/empty', 0);
  equal('mkdirp', await zk.mkdirp('/n/a/b/c', Buffer.from('deep')), '/n/a/b/c');
  equal('mkdirp again', await zk.mkdirp('/n/a/b/c'), '/n/a/b/c');
  equal('all of it', (await zk.getData('/n/a/b/c'))[0].toString(), 'deep');
  await removeAll(zk, '/n/a');
  equal('removed', await zk.exists('/n/a'), null);
}

async function watches(zk) {
  const created = watcher();
  await zk.exists('/n/w', created.told);
  await zk.create('/n/w');
  equal('an exists watch', await within('created', created.event), [Event.NODE_CREATED, '/n/w']);
  const changed = watcher();
  await zk.getData('/n/w', changed.told);
  await zk.setData('/n/w', Buffer.from('x'));
  equal('a data watch', await within('changed', changed.event), [Event.NODE_DATA_CHANGED, '/n/w']);
  const children = watcher();
  await zk.getChildren('/n/w', children.told);
  await zk.create('/n/w/child');
  equal('a child watch', await within('children', children.event), [Event.NODE_CHILDREN_CHANGED, '/n/w']);
  await zk.remove('/n/w/child');
  const deleted = watcher();
  await zk.getData('/n/w', deleted.told);
  await zk.remove('/n/w');
  equal('a delete', await within('deleted', deleted.event), [Event.NODE_DELETED, '/n/w']);
}

async function transaction(zk) {
  const commit = (t) => new Promise((resolve) => t.commit((error, results) => resolve([error, results])));
  const [error, results] = await commit(zk.client.transaction().create('/n/t', Buffer.from('1'))
    .setData('/n/t', Buffer.from('2'), 0).check('/n/t', 1).create('/n/t/child').remove('/n/t/child'));
  equal('a transaction', [error, results.length], [null, 5]);
  equal('its set', (await zk.getData('/n/t'))[0].toString(), '2');
  const [failed] = await commit(zk.client.transaction().remove('/n/t').check('/n', 77));
  equal('one that fails', failed.getCode(), Exception.BAD_VERSION);
  assert(await zk.exists('/n/t'));
  ok('does nothing');
}

async function acls(zk, hosts) {
  zk.client.addAuthInfo('digest', Buffer.from('me:secret'));
  await zk.create('/n/mine', Buffer.from('x'), ACL.CREATOR_ALL_ACL);
  const [list] = await zk.getACL('/n/mine');
  equal('the creator', list.map((acl) => [acl.permission, acl.id.scheme, acl.id.id]),
    [[Permission.ALL, 'digest', 'me:016djjlksVQS5RgX3M7biBGyYwY=']]);
  const stranger = await open(hosts);
  await fails('a stranger may not write', stranger.setData('/n/mine', Buffer.from('y')), Exception.NO_AUTH);
  await fails('nor read', stranger.getData('/n/mine'), Exception.NO_AUTH);
  await fails('nor set the ACL', stranger.setACL('/n/mine', ACL.OPEN_ACL_UNSAFE), Exception.NO_AUTH);
  equal('setACL', (await zk.setACL('/n/mine', [new ACL(Permission.READ | Permission.ADMIN, new Id('world', 'anyone'))]))
    .aversion, 1);
  await until('now the stranger may read', () => stranger.getData('/n/mine').then(() => true, () => false));
  await fails('but not write', stranger.setData('/n/mine', Buffer.from('y')), Exception.NO_AUTH);
  await stranger.close();
}

async function operations(hosts) {
  const zk = await open(hosts);
  await data(zk);
  await watches(zk);
  await transaction(zk);
  await acls(zk, hosts);
  const pending = Array.from({ length: 200 }, (_, i) => zk.setData('/n', Buffer.from(`${i}`)));
  const versions = (await Promise.all(pending)).map((stat) => stat.version);
  equal('200 at once, in their order', versions, versions.map((_, i) => versions[0] + i));
  await zk.close();

  const chroot = await open(`${hosts}/n`);
  await until('the session took its ephemerals along', async () =>
    !(await chroot.getChildren('/'))[0].some((name) => name.startsWith('e')));
  await chroot.create('/below');
  await chroot.close();
  const last = await open(hosts);
  await until('a chroot is a prefix', async () => (await last.exists('/n/below')) !== null);
  await removeAll(last, '/n');
  await last.close();
}

/** Its server is ended under it: session, ephemeral and watch go on elsewhere. */
async function reconnect(hosts) {
  const zk = await open(hosts);
  await zk.create('/n');
  await zk.create('/n/e', CreateMode.EPHEMERAL);
  const later = watcher();
  await zk.exists('/n/later', later.told);
  const session = zk.client.getSessionId().toString('hex');
  const again = new Promise((resolve) => {
    zk.client.on('state', (state) => state === State.SYNC_CONNECTED && resolve());
  });
  console.log(`server ${zk.client.connectionManager.socket.remotePort}`);
  console.log('armed');
  await within('connected again', again);
  equal('the same session', zk.client.getSessionId().toString('hex'), session);
  equal('with its ephemeral', (await zk.exists('/n/e')).ephemeralOwner.toString('hex'), session);
  await zk.create('/n/later');
  equal('the watch was set again', await within('created', later.event), [Event.NODE_CREATED, '/n/later']);
  await zk.close();
}

const [command, hosts] = process.argv.slice(2);
const run = command === 'operations' ? operations : reconnect;
run(hosts).then(() => {
  console.log('done');
  process.exit(0);
}, (error) => {
  console.log(error);
  process.exit(1);
});
