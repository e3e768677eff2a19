/** What happens between the steps: a transaction that fails, a request given up while it runs, rows that go away under it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { idBytes, ROOT_ENTRY, type BlockId, type EntryId, type OpId, type SpaceId, type UploadId } from '#core/ids.ts';
import { allNodes } from '#meta/clusters.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { devicesRevoke } from '#protocol/account.ts';
import { contents } from '#protocol/contents.ts';
import { abandon, commit, need, prepare, put, settle, type Operation } from '#protocol/sync.ts';
import {
  newId,
  ServerRig,
  type RigDevice,
  type RigNode,
  type RigOptions,
  type SealedFile,
} from '../../test/server-rig.ts';

async function withRig(work: (rig: ServerRig) => Promise<void>, options: RigOptions = {}): Promise<void> {
  const rig = await ServerRig.start(options);
  try {
    await work(rig);
  } finally {
    await rig.close();
  }
}

/** Holds the next put on a node until it is let go, and says when it has begun. */
function holdPut(node: RigNode) {
  const { store } = node;
  let begun = () => {};
  let release = () => {};
  const started = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const put: typeof store.put = async (...of) => {
    begun();
    await gate;
    return store.put(...of);
  };
  node.store = Object.assign(Object.create(store) as typeof store, { put });
  return {
    started,
    letGo() {
      node.store = store;
      release();
    },
  };
}

function nodeOf(rig: ServerRig, pool: string): RigNode {
  const node = rig.nodes.find((one) => one.pool === pool);
  assert.ok(node);
  return node;
}

function createText(device: RigDevice): { readonly files: SealedFile[]; readonly create: Operation } {
  const files: SealedFile[] = [];
  return { files, create: device.createFile(ROOT_ENTRY, 'a.txt', files, randomBytes(100)) };
}

/** An index whose transactions all fail at their end while `full`. */
function fillable() {
  const disk = { full: false };
  const wrapMeta = (store: MetaStore): MetaStore => ({
    ...store,
    write: (work) =>
      store.write(async (writer) => {
        const result = await work(writer);
        if (disk.full) throw new HoldfastError('no_space', 'the disk is full');
        return result;
      }),
  });
  return { disk, wrapMeta };
}

test('a transaction that fails leaves no trace, and the same request applies afterwards', () => {
  const { disk, wrapMeta } = fillable();
  return withRig(
    async (rig) => {
      const one = await rig.link('one');
      const head = await one.head();
      const { files, create } = createText(one);
      const op = newId<OpId>();
      disk.full = true;
      await assert.rejects(one.commit([[create]], files, { op }), { code: 'no_space' });
      disk.full = false;
      assert.deepEqual(await one.head(), head);
      assert.equal((await one.commit([[create]], files, { op })).answers[0]?.kind, 'applied');
      assert.equal((await one.listAll()).rows.length, 1);
    },
    { wrapMeta },
  );
});

test('a node that starts anew while the disk of the server is full is read from, and written down later', () => {
  const { disk, wrapMeta } = fillable();
  return withRig(
    async (rig) => {
      const one = await rig.link('one');
      const { files, create } = createText(one);
      await one.commit([[create]], files);
      disk.full = true;
      for (const node of rig.nodes) Object.assign(node, { boot: 2, run: 'again and another' });
      await rig.server.greetNodes();
      const { manifestId } = files[0] as SealedFile;
      const asking = { space: one.space, manifests: [manifestId], budgetBytes: 1e6 };
      const [item] = (await one.ask(contents, asking)).response.items;
      assert.equal(item?.kind, 'found');
      disk.full = false;
      await rig.server.greetNodes();
      const runs = (await rig.meta.read(allNodes)).map(({ run }) => run);
      assert.ok(
        runs.every((run) => run === 'again and another'),
        runs.join(),
      );
    },
    { wrapMeta },
  );
});

test('a request that is given up while its blocks are on their way is never applied', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const { files, create } = createText(one);
    const op = newId<OpId>();
    const held = holdPut(nodeOf(rig, 'txt'));
    const late = assert.rejects(one.commit([[create]], files, { op }), { code: 'voided' });
    await held.started;
    assert.deepEqual((await one.ask(settle, { space: one.space, op })).response, { kind: 'void' });
    held.letGo();
    await late;
    assert.equal((await one.listAll()).rows.length, 0);
  }));

test('a device that is revoked while its blocks are on their way changes nothing any more', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const lost = await rig.link('lost');
    const { files, create } = createText(lost);
    const held = holdPut(nodeOf(rig, 'txt'));
    const late = assert.rejects(lost.commit([[create]], files), { code: 'unauthenticated' });
    await held.started;
    await one.ask(devicesRevoke, { device: lost.device });
    held.letGo();
    await late;
    assert.equal((await one.listAll()).rows.length, 0);
  }));

test('a key that is renewed while blocks are on their way makes them stale, not part of the space', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const lost = await rig.link('lost');
    const { files, create } = createText(one);
    const held = holdPut(nodeOf(rig, 'txt'));
    const late = one.commit([[create]], files);
    await held.started;
    await one.ask(devicesRevoke, { device: lost.device });
    held.letGo();
    const [answer] = (await late).answers;
    assert.equal(answer?.kind === 'invalid' && answer.code, 'key_stale');
  }));

test('the same request twice at once is applied once, and both get its answer', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const { files, create } = createText(one);
    const request = () => one.ask(commit, body, parts);
    const blocks = files.flatMap((file) => file.blocks);
    const body = {
      op: newId<OpId>(),
      ...(await one.standing()),
      totals: { plan: newId<OpId>(), creates: 1, updates: 0, moves: 0, deletes: 0 },
      uploads: [],
      groups: [[create]],
      blocks: blocks.map(({ id }) => id),
    };
    const parts = [...files.map(({ manifest }) => manifest), ...blocks.map(({ bytes }) => bytes)];
    const [first, second] = await Promise.all([request(), request()]);
    assert.deepEqual(first.response, second.response);
    assert.equal(first.response.head.seq, 1);
  }));

test('blocks of another space, and blocks of nobody, are asked for alike', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const { files, create } = createText(one);
    await one.commit([[create]], files);
    const [file] = files;
    assert.ok(file);
    await rig.server.close();
    const database = new DatabaseSync(rig.metaPath);
    database.prepare('update presence set space = ?').run(idBytes(newId<SpaceId>()));
    database.close();
    await rig.open();
    await rig.server.greetNodes();
    const ids = file.blocks.map(({ id }) => id);
    const nobody = newId<BlockId>() + newId<string>();
    const upload = newId<UploadId>();
    const opened = { upload, entry: newId<EntryId>(), parent: ROOT_ENTRY, name: 'b.txt', size: 100 };
    await one.ask(prepare, { space: one.space, files: [opened] });
    const asked = [...ids, nobody as BlockId];
    assert.deepEqual((await one.ask(need, { space: one.space, upload, blocks: asked })).response.missing, asked);
    const again = { ...create, entry: newId<EntryId>(), name: 'b.txt' } as Operation;
    const { answers } = await one.commit([[again]], files, { inline: false });
    assert.deepEqual(answers, [{ kind: 'need_blocks', blocks: ids }]);
    const asking = { space: one.space, manifests: [file.manifestId], budgetBytes: 1000 };
    const [item] = (await one.ask(contents, asking)).response.items;
    assert.equal(item?.kind === 'unavailable' && item.code, 'block_missing');
  }));

test('an upload that was abandoned no longer lends its blocks to a commit', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const { files, create } = createText(one);
    const [file] = files;
    assert.ok(file && create.kind === 'create');
    const upload = newId<UploadId>();
    const opened = { upload, entry: create.entry, parent: ROOT_ENTRY, name: 'a.txt', size: 100 };
    await one.ask(prepare, { space: one.space, files: [opened] });
    const ids = file.blocks.map(({ id }) => id);
    await one.ask(
      put,
      { space: one.space, upload, blocks: ids },
      file.blocks.map(({ bytes }) => bytes),
    );
    await one.ask(abandon, { space: one.space, uploads: [upload] });
    const { answers } = await one.commit([[create]], files, { inline: false, uploads: [upload as never] });
    assert.deepEqual(answers, [{ kind: 'need_blocks', blocks: ids }]);
  }));
