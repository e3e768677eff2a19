/** A rescue from real directories of storage nodes that a real server wrote to, each time with something missing or wrong. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test, type TestContext } from 'node:test';
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import { readNodeLog } from '#blocks/disk/read-node-log.ts';
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { must } from '#core/assert.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { signRoot, verifyRoot } from '#core/root-record.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { findCluster } from '#meta/clusters.ts';
import { devicesList } from '#protocol/account.ts';
import { files as listFiles, rulesApply, serverStatus } from '#protocol/cluster.ts';
import { KeptRoots } from '#storage/kept-roots.ts';
import { writeNodeIdentity } from '#storage/node-identity.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { folder, newId, POOLS, RigNode, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';
import { exportFiles, type ExportTarget } from './export-files.ts';
import { makeServerIndex } from './new-server.ts';
import { Rescue } from './rescue.ts';
import type { NodeDirectory } from './salvage.ts';

const top = mkdtempSync(path.join(tmpdir(), 'holdfast-rescue-test-'));
after(() => rmSync(top, { recursive: true, force: true }));
let places = 0;
const log = stderrLog('silent');
const newPlace = (): string => {
  const place = path.join(top, String(++places));
  mkdirSync(place);
  return place;
};

type World = {
  readonly rig: ServerRig;
  readonly device: RigDevice;
  readonly directories: Map<string, string>;
  /** As a node that was off while its disk changed. */
  restartNode(pool: string): Promise<void>;
  kit(): RecoveryKit;
  /** Makes a root and lets every node keep it as it would. */
  root(): Promise<void>;
  close(): Promise<void>;
};

/** `copies`: so many nodes in each pool, `txt-2` and so on beside `txt`, and each block on that many of them. */
async function world(context: TestContext, copies = 1): Promise<World> {
  const directories = new Map<string, string>();
  const stores = new Map<string, NodeBlockStore>();
  const names = new Map<RigNode, string>();
  const directoryOf = (node: RigNode): string => must(directories.get(names.get(node) ?? ''), 'a directory');
  const nodes = await Promise.all(
    Array.from({ length: copies * POOLS.length }, async (_, index) => {
      const pool = POOLS[index % POOLS.length] as string;
      const directory = newPlace();
      const node = new RigNode(pool);
      const name = index < POOLS.length ? pool : `${pool}-${Math.floor(index / POOLS.length) + 1}`;
      names.set(node, name);
      directories.set(name, directory);
      stores.set(name, await openStore(node, directory));
      node.store = must(stores.get(name), 'it was opened');
      return node;
    }),
  );
  const rig = await ServerRig.start({ nodes });
  const kit = () => must(rig.keeper.confirmed, 'the cluster has a root key');
  const { identityPublicKey: publicKey } = must(await readCluster(rig, copies), 'there is a cluster');
  for (const [{ node, pool }, directory] of nodes.map((one) => [one, directoryOf(one)] as const))
    await writeNodeIdentity(realDisk(directory), p, {
      node,
      pool,
      publicKey,
      cluster: kit().cluster,
    });
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await rig.close();
    for (const store of stores.values()) await store.close();
  };
  context.after(close);
  return {
    rig,
    device: await rig.link('desk'),
    directories,
    restartNode: async (pool) => {
      const node = must(
        nodes.find((one) => one.pool === pool),
        'a node',
      );
      await must(stores.get(pool), 'it was opened').close();
      stores.set(pool, await openStore(node, must(directories.get(pool), 'a directory')));
      node.store = must(stores.get(pool), 'it was opened');
    },
    kit,
    root: async () => {
      await rig.server.makeRoot();
      for (const node of nodes) {
        const disk = realDisk(directoryOf(node));
        const kept = await KeptRoots.load(disk, p, kit().cluster, log);
        for (const bytes of node.roots) await kept.offer(bytes);
      }
    },
    close,
  };
}

function openStore({ node }: RigNode, directory: string): Promise<NodeBlockStore> {
  const disk = realDisk(directory);
  return openDiskBlockStore({
    disk,
    log,
    node,
    sql: sqliteOpener,
    indexPath: path.join(directory, 'index.db'),
    checksum: realChecksum,
    primitives: p,
    segmentBytesMax: 4 * 1024 * 1024,
  });
}

async function readCluster(rig: ServerRig, copies: number) {
  const copy = path.join(newPlace(), 'meta.db');
  await rig.server.close();
  cpSync(rig.metaPath, copy);
  const meta = await openSqliteMetaStore(sqliteOpener, copy);
  const cluster = await meta.read(findCluster);
  await meta.close();
  const database = new DatabaseSync(rig.metaPath);
  database.prepare('update pool set copies = ?').run(copies);
  database.close();
  await rig.open();
  await rig.server.greetNodes();
  return cluster;
}

type Content = Map<string, Uint8Array>;
const bytesOf = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let index = 0, x = seed + 1; index < length; index++) bytes[index] = x = (x * 1103515245 + 12345) & 0xff_ff_ff;
  return bytes;
};

/** Files in every pool, one of several blocks, one renamed, one edited, one deleted, in folders and with names of all kinds. */
async function fill({ device }: World): Promise<Content> {
  const files: SealedFile[] = [];
  const contents: Content = new Map();
  const dir = newId<EntryId>();
  const moved = newId<EntryId>();
  const gone = newId<EntryId>();
  const add = (parent: EntryId, name: string, bytes: Uint8Array, at: string | null, entry = newId<EntryId>()) => {
    if (at !== null) contents.set(at, bytes);
    return device.createFile(parent, name, files, bytes, entry);
  };
  const operations = [
    folder(ROOT_ENTRY, 'Straße', dir),
    add(ROOT_ENTRY, 'a.txt', bytesOf(1000, 1), 'a.txt'),
    add(dir, 'かえる 🐸.mp3', bytesOf(70_000, 2), 'Straße/かえる 🐸.mp3'),
    add(dir, 'e\u0301.pdf', bytesOf(10, 3), 'Straße/e\u0301.pdf'),
    add(ROOT_ENTRY, 'empty', new Uint8Array(0), 'empty'),
    add(ROOT_ENTRY, 'large.bin', realRandom.bytes(3_000_000), 'large.bin'),
    add(ROOT_ENTRY, 'before.txt', bytesOf(55, 5), 'Straße/after.txt', moved),
    add(ROOT_ENTRY, 'gone.txt', bytesOf(66, 6), null, gone),
  ];
  const { answers } = await device.each(operations, files);
  assert.ok(answers.every(({ kind }) => kind === 'applied'));
  const head = await device.head();
  const later = await device.each([
    {
      kind: 'move',
      entry: moved,
      base: answers[6]?.kind === 'applied' ? answers[6].seq : 0,
      parent: dir,
      name: 'after.txt',
    },
    { kind: 'delete', entry: gone, basis: head.seq },
  ]);
  assert.ok(
    later.answers.every(({ kind }) => kind === 'applied'),
    JSON.stringify(later.answers),
  );
  return contents;
}

async function openRescue(
  { kit }: World,
  directories: Iterable<string>,
  at = newPlace(),
): Promise<{ rescue: Rescue; index: () => string }> {
  let made = 0;
  const given = [...directories].map((directory): NodeDirectory => {
    const disk = realDisk(directory);
    return { path: directory, disk, log: readNodeLog({ disk, checksum: realChecksum, primitives: p }), node: null };
  });
  const rescue = await Rescue.open(
    {
      primitives: p,
      sql: sqliteOpener,
      placesPath: path.join(at, 'places.db'),
      makeStore: () => openSqliteMetaStore(sqliteOpener, path.join(at, `index-${++made}.db`)),
      signal: new AbortController().signal,
      onProgress: () => undefined,
    },
    kit(),
    given,
  );
  return { rescue, index: () => path.join(at, `index-${made}.db`) };
}

/** Exports into memory. */
async function exported(rescue: Rescue, partial = false): Promise<{ files: Content; failed: Map<string, string> }> {
  const files: Content = new Map();
  const failed = new Map<string, string>();
  const target: ExportTarget = {
    folder: async () => undefined,
    link: async () => undefined,
    file: async (at, { chunks }) => {
      const pieces: Uint8Array[] = [];
      for await (const chunk of chunks) pieces.push(chunk);
      files.set(at.slice(1).join('/'), new Uint8Array(Buffer.concat(pieces)));
      return { at, wasThere: false };
    },
  };
  for await (const one of exportFiles(rescue, target, { partial }))
    if (one.kind === 'failed') failed.set(one.file.path.join('/'), one.code);
  return { files, failed };
}

const sorted = (content: Content) => [...content].sort(([left], [right]) => (left < right ? -1 : 1));

test('everything comes back from the directories and the kit, whether the roots lie in files or in the log alone', async (context) => {
  const it = await world(context);
  const contents = await fill(it);
  await it.root();
  // What comes after the snapshot is in a stream of its own.
  const files: SealedFile[] = [];
  const late = bytesOf(5000, 9);
  await it.device.each([it.device.createFile(ROOT_ENTRY, 'late.txt', files, late)], files);
  contents.set('late.txt', late);
  await it.root();
  await it.close();
  for (const withRoots of [true, false]) {
    if (!withRoots)
      for (const directory of it.directories.values()) rmSync(path.join(directory, 'roots'), { recursive: true });
    const { rescue } = await openRescue(it, it.directories.values());
    assert.deepEqual(rescue.summary.faults, []);
    assert.deepEqual(rescue.summary.passed, []);
    assert.equal(rescue.metadata.index.streams.length, 2);
    const { files: out, failed } = await exported(rescue);
    assert.deepEqual([...failed], []);
    assert.deepEqual(sorted(out), sorted(contents));
    await rescue.close();
  }
});

test('what is missing is named by its path, and everything else is saved', async (context) => {
  const it = await world(context);
  const contents = await fill(it);
  await it.root();
  await it.close();
  for (const lost of POOLS) {
    const given = [...it.directories].filter(([pool]) => pool !== lost).map(([, directory]) => directory);
    const { rescue } = await openRescue(it, given);
    const { files, failed } = await exported(rescue);
    const isLost = (name: string): boolean => (lost === 'others' ? name === 'large.bin' : name.endsWith(`.${lost}`));
    assert.deepEqual([...failed.keys()].sort(), [...contents.keys()].filter(isLost).sort(), lost);
    assert.ok([...failed.values()].every((code) => code === 'block_missing'));
    assert.deepEqual(
      sorted(files),
      sorted(contents).filter(([name]) => !isLost(name)),
    );
    await rescue.close();
  }
});

test('one node of each pool is enough where pools keep two copies, and no more than that is needed', async (context) => {
  const it = await world(context, 2);
  const contents = await fill(it);
  await it.root();
  await it.close();
  for (const taken of [POOLS, POOLS.map((pool) => `${pool}-2`), ['txt-2', 'mp3', 'pdf', 'others-2']]) {
    const { rescue } = await openRescue(
      it,
      taken.map((name) => must(it.directories.get(name), 'a directory')),
    );
    const { files, failed } = await exported(rescue);
    assert.deepEqual([[...failed], sorted(files)], [[], sorted(contents)], taken.join());
    await rescue.close();
  }
});

test('a flipped bit costs one file, not the rescue', async (context) => {
  const it = await world(context);
  const contents = await fill(it);
  await it.root();
  await it.close();
  const directory = must(it.directories.get('others'), 'a directory');
  const { rescue: before } = await openRescue(it, it.directories.values());
  let victim = '';
  for await (const file of before.live())
    if (file.path.at(-1) === 'large.bin' && file.state.kind === 'whole')
      victim = must(file.state.manifest.chunks[1], 'it has some chunks').blockId;
  await before.close();
  const segments = path.join(directory, 'segments');
  for (const name of readdirSync(segments)) {
    const bytes = readFileSync(path.join(segments, name));
    const at = bytes.indexOf(Buffer.from(victim, 'hex'));
    if (at < 0) continue;
    bytes[at + 500] = (bytes[at + 500] as number) ^ 1;
    writeFileSync(path.join(segments, name), bytes);
    break;
  }
  const { rescue } = await openRescue(it, it.directories.values());
  const { files, failed } = await exported(rescue);
  assert.deepEqual([...failed], [['large.bin', 'block_missing']]);
  assert.equal(files.size, contents.size - 1);
  assert.ok(rescue.summary.damage.some((damage) => damage.directory === directory));
  // What there is of it can be had as well, and is not called whole.
  const parts = await exported(rescue, true);
  assert.deepEqual([...parts.failed], [['large.bin', 'block_missing']]);
  const whole = must(contents.get('large.bin'), 'it is there');
  const some = must(parts.files.get('large (incomplete).bin'), 'it was written');
  assert.equal(some.length, whole.length);
  const differing = some.filter((byte, index) => byte !== whole[index]).length;
  assert.ok(differing > 0 && differing < whole.length / 2);
  assert.ok(some.every((byte, index) => byte === whole[index] || byte === 0));
  await rescue.close();
});

test('a newer root that leads nowhere is passed over and said so; a forged one is not believed; a stale one does not win', async (context) => {
  const it = await world(context);
  const contents = await fill(it);
  await it.root();
  const [node] = it.rig.nodes;
  const genuine = must(node?.roots.at(-1), 'a root was pushed');
  const stale = must(verifyRoot(p, genuine, it.kit().cluster), 'it verifies');
  const files: SealedFile[] = [];
  await it.device.each([it.device.createFile(ROOT_ENTRY, 'later.txt', files, bytesOf(9, 9))], files);
  await it.root();
  await it.close();
  const roots = path.join(must(it.directories.get('mp3'), 'a directory'), 'roots');
  const forgedSeed = realRandom.bytes(32);
  // Signed by somebody, and claiming the cluster's own key.
  const forged = signRoot(p, forgedSeed, { ...stale, ...ownKey(forgedSeed), seq: 999 });
  forged.set(genuine.subarray(4, 52), 4);
  writeFileSync(path.join(roots, 'ffffffff-0000000000000999'), forged);
  const { rescue } = await openRescue(it, it.directories.values());
  assert.ok(rescue.summary.root.seq > stale.seq);
  assert.equal(rescue.summary.refusedRoots.length, 1);
  assert.equal((await exported(rescue)).files.size, contents.size + 1);
  const { index } = rescue.metadata.root;
  await rescue.close();

  // The newest root's index is lost everywhere.
  for (const directory of it.directories.values()) spoil(directory, index);
  const { rescue: older } = await openRescue(it, it.directories.values());
  assert.equal(older.summary.root.seq, stale.seq);
  assert.equal(older.summary.passed.length, 1);
  const { files: saved } = await exported(older);
  assert.deepEqual(sorted(saved), sorted(contents));
  await older.close();
});

test('without a root, or with another cluster’s kit, nothing is guessed', async (context) => {
  const it = await world(context);
  await fill(it);
  const before = openRescue(it, it.directories.values());
  await assert.rejects(before, { code: 'integrity', message: /there is no root/ });
  await it.root();
  await it.close();
  const other = { ...it, kit: () => ({ cluster: 'ab'.repeat(16) as never, root: it.kit().root }) };
  await assert.rejects(openRescue(other, it.directories.values()), { code: 'integrity', message: /right kit/ });
  const wrongKey = { ...it, kit: () => ({ ...it.kit(), root: { generation: 1, key: realRandom.bytes(32) } }) };
  await assert.rejects(openRescue(wrongKey, it.directories.values()), { code: 'integrity', message: /does not open/ });
});

test('a server made anew has every file, another epoch, a higher incarnation, and blocks that are missing are asked for again', async (context) => {
  const it = await world(context);
  const contents = await fill(it);
  await it.root();
  const lostBytes = must(contents.get('a.txt'), 'it is there');
  const lostBlock = must(it.device.seal(lostBytes).blocks[0], 'one block').id;
  const epochBefore = (await it.device.head()).epoch;
  await it.rig.server.close();
  spoil(must(it.directories.get('txt'), 'a directory'), lostBlock);
  await it.restartNode('txt');
  const { rescue, index } = await openRescue(it, it.directories.values());
  const identity = { privateKeyPem: 'new', certificatePem: 'new', pin: 'd'.repeat(64) as never };
  const made = await makeServerIndex(rescue, realRandom, identity);
  assert.deepEqual(made, { incarnation: 2, files: contents.size, absentNodes: [] });
  await rescue.close();
  rmSync(it.rig.metaPath, { force: true });
  for (const suffix of ['-wal', '-shm']) rmSync(`${it.rig.metaPath}${suffix}`, { force: true });
  cpSync(index(), it.rig.metaPath);
  await it.rig.open();
  await it.rig.server.greetNodes();
  // The former device is not known: sessions are not in the pools.
  await assert.rejects(it.device.head(), { code: 'unauthenticated' });
  const device = await it.rig.link('new');
  const { devices } = (await device.ask(devicesList, {})).response;
  assert.deepEqual(devices.map(({ name, revoked }) => [name, revoked]).sort(), [
    ['desk', true],
    ['new', false],
  ]);
  const { head, rows } = await device.listAll();
  assert.notEqual(head.epoch, epochBefore);
  assert.equal(rows.filter((row) => row.kind === 'entry' && row.entry.kind === 'file').length, contents.size);
  // What was lost goes up again: the server does not claim to have it.
  const files: SealedFile[] = [];
  const again = device.createFile(ROOT_ENTRY, 'again.txt', files, lostBytes);
  const { answers } = await device.commit([[again]], files, { inline: false });
  assert.equal(answers[0]?.kind, 'need_blocks');
  const { answers: second } = await device.each([again], files);
  assert.equal(second[0]?.kind, 'applied');
  // Its next root is a snapshot of its own, which nodes take for its incarnation.
  await it.root();
  const newest = must(it.rig.nodes[0]?.roots.at(-1), 'a root was pushed');
  assert.equal(verifyRoot(p, newest, it.kit().cluster)?.incarnation, 2);
  await it.close();
  const { rescue: anew } = await openRescue(it, it.directories.values());
  assert.equal(anew.summary.root.incarnation, 2);
  assert.equal((await exported(anew)).files.size, contents.size + 1);
  await anew.close();
});

for (const left of [null, 'others-2'])
  test(`what a rule keeps in a number of copies of its own is known to lie there${left ? ', also on a node that was not given' : ''}`, async (context) => {
    const it = await world(context, 2);
    const rules = [{ extensions: ['bin'], pool: 'others', copies: 1 }];
    await it.device.ask(rulesApply, { rules });
    const files: SealedFile[] = [];
    const named = (index: number) => `${index}.${index < 8 ? 'bin' : 'dat'}`;
    const operations = Array.from({ length: 12 }, (_, index) =>
      it.device.createFile(ROOT_ENTRY, named(index), files, bytesOf(500, index)),
    );
    await it.device.each(operations, files);
    await it.root();
    await it.rig.server.close();
    const given = [...it.directories].filter(([name]) => name !== left).map(([, directory]) => directory);
    const { rescue, index } = await openRescue(it, given);
    const identity = { privateKeyPem: 'new', certificatePem: 'new', pin: 'd'.repeat(64) as never };
    const made = await makeServerIndex(rescue, realRandom, identity);
    assert.equal(made.absentNodes.length, left ? 1 : 0);
    await rescue.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${it.rig.metaPath}${suffix}`, { force: true });
    cpSync(index(), it.rig.metaPath);
    await it.rig.open();
    await it.rig.server.greetNodes();
    const device = await it.rig.link('new');
    const list = async () => {
      const { files: rows } = (await device.ask(listFiles, { space: device.space, after: null, limit: 100 })).response;
      return Object.fromEntries(rows.map(({ path: name, pool, copies }) => [name, `${pool}: ${copies}`]));
    };
    const expected = Object.fromEntries(
      files.map((_, at) => [named(at), at < 8 ? 'others*1: 1' : 'others: 2'] as const),
    );
    const before = await list();
    for (let at = 0; at < 8; at++) assert.equal(before[named(at)], 'others*1: 1');
    await it.rig.server.settleCopies();
    assert.deepEqual(await list(), expected);
    const { copiesAtRisk, problems } = (await device.ask(serverStatus, {})).response;
    assert.deepEqual([copiesAtRisk, problems], [0, []]);
  });

function ownKey(seed: Uint8Array) {
  const publicKey = p.ed25519PublicKey(seed);
  return { publicKey, cluster: Buffer.from(p.sha256(publicKey).subarray(0, 16)).toString('hex') as never };
}

/** Every copy of the block in the directory's log is damaged. */
function spoil(directory: string, block: string): void {
  const segments = path.join(directory, 'segments');
  for (const name of readdirSync(segments)) {
    const bytes = readFileSync(path.join(segments, name));
    const id = Buffer.from(block, 'hex');
    for (let at = bytes.indexOf(id); at >= 0; at = bytes.indexOf(id, at + 1))
      bytes[at + 45] = (bytes[at + 45] as number) ^ 1;
    writeFileSync(path.join(segments, name), bytes);
  }
}
