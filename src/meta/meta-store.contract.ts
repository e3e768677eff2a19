/** What every metadata store promises, whatever database lies below. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import test from 'node:test';
import { toHex } from '#core/bytes.ts';
import { limits } from '#core/limits.ts';
import {
  collectionState,
  contentsAfter,
  isAnyCondemned,
  judgeContent,
  judgePresence,
  leftBlocks,
  presenceAfter,
  putCollectionState,
  removeContent,
  removeLeftBlocks,
  removePresence,
  sparePresence,
} from './collection.ts';
import type { Presence } from './contents.ts';
import { findContents, findPresence, insertContents, putPresence } from './contents.ts';
import {
  childrenOf,
  countFiles,
  entriesAt,
  entriesChangedAfter,
  entriesWithAncestors,
  heightOf,
  misplacedFiles,
  presentRows,
  replaceEntries,
  settlePool,
  type PooledEntry,
} from './entries.ts';
import {
  addGarbage,
  copyKey,
  countGarbage,
  deletedBefore,
  dropGarbage,
  garbageOfBlocks,
  garbageToJudge,
  namedCopies,
  noteGarbage,
  orderGarbage,
} from './garbage.ts';
import {
  addHeld,
  addTally,
  dropHeld,
  findHolds,
  forgetHolds,
  forgetTally,
  heldAmong,
  heldOperations,
  heldTotals,
  holdsInSpace,
  putHold,
  sumTally,
  unfinishedHolds,
  type HeldOperation,
  type StoredHold,
} from './holds.ts';
import {
  countHeldBy,
  countLacking,
  countOwedByPool,
  countPresence,
  owedRows,
  updateHolders,
  walkPresence,
  type PlacedPresence,
} from './copies.ts';
import { allJobs, endPass, ensureJob, noteJob, wantJob } from './jobs.ts';
import { countLies, forgetLies, noteLie, type LieKind } from './lies.ts';
import type { MetaStore } from './meta-store.ts';
import {
  advanceSpace,
  appendJournal,
  chainAt,
  findOpResult,
  findSpace,
  forgetOpResults,
  insertOpResult,
  insertSpace,
  journalAfter,
  lockSpace,
  type StoredSpace,
} from './spaces.ts';
import {
  expiredUploads,
  findUploadBlocks,
  findUploads,
  insertUploads,
  putUploadBlocks,
  removeUploads,
  renewUploads,
} from './uploads.ts';
import { countPopulation, filesNamedLike, weighBelow } from './weights.ts';
import {
  type BlockId,
  ROOT_ENTRY,
  TRASH_ENTRY,
  type DeviceId,
  type EntryId,
  type OpId,
  type SpaceId,
  type UploadId,
} from '#core/ids.ts';

const id16 = <Id>(): Id => toHex(randomBytes(16)) as Id;
const id32 = <Id>(): Id => toHex(randomBytes(32)) as Id;
const DEVICE = id16<DeviceId>();
const OTHER = id16<DeviceId>();

function space(): StoredSpace {
  return {
    space: id16(),
    account: randomBytes(16),
    name: 'own',
    epoch: id16(),
    headSeq: 0,
    headChain: id32(),
    horizonSeq: 0,
    keyVersion: 1,
  };
}

let seq = 0;
function entry(parent: EntryId, name: string, more: Partial<PooledEntry> = {}): PooledEntry {
  seq++;
  return {
    entry: id16(),
    parent,
    name,
    kind: 'folder',
    revision: seq,
    placed: seq,
    seq,
    content: null,
    target: null,
    mtimeUs: 0,
    exec: false,
    trashedFrom: null,
    revisedBy: DEVICE,
    placedBy: DEVICE,
    pool: null,
    poolWanted: null,
    madeMs: 1_700_000_000_000 + seq,
    revisedMs: 1_700_000_000_001 + seq,
    pooled: null,
    ...more,
  };
}

function file(parent: EntryId, name: string, more: Partial<PooledEntry> = {}): PooledEntry {
  const content = { contentId: id32<never>(), manifestId: id32<never>(), size: 7 };
  return entry(parent, name, {
    kind: 'file',
    content,
    mtimeUs: -5,
    exec: true,
    pool: 'txt',
    poolWanted: 'txt',
    ...more,
  });
}

/** `open` opens an empty store; `reopen` opens the same one again after it was closed. */
export function metaStoreContract(
  name: string,
  open: () => Promise<{ readonly store: MetaStore; reopen(): Promise<MetaStore>; remove(): Promise<void> }>,
): void {
  const withStore = (title: string, work: (store: MetaStore) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const { store, remove } = await open();
      try {
        await work(store);
      } finally {
        await store.close();
        await remove();
      }
    });
  const isNew = () => true;

  test(`${name}: what was written is there after it was closed and opened again`, async () => {
    const { store, reopen, remove } = await open();
    const made = space();
    await store.write((writer) => insertSpace(writer, made));
    await store.close();
    const again = await reopen();
    assert.deepEqual(await again.read((reader) => findSpace(reader, made.space)), {
      ...made,
      account: new Uint8Array(made.account),
    });
    await again.close();
    await remove();
  });

  withStore('a write that rejects leaves nothing, and the next one goes on', async (store) => {
    const made = space();
    const failed = store.write(async (writer) => {
      await insertSpace(writer, made);
      throw new Error('changed my mind');
    });
    await assert.rejects(failed, /changed my mind/);
    assert.equal(await store.read((reader) => findSpace(reader, made.space)), null);
    await store.write((writer) => insertSpace(writer, made));
    assert.equal((await store.read((reader) => findSpace(reader, made.space)))?.headSeq, 0);
  });

  withStore('writers that run at once come one after another, and readers see whole states', async (store) => {
    const made = space();
    await store.write((writer) => insertSpace(writer, made));
    const seen: (number | undefined)[] = [];
    const step = async () => {
      await store.write(async (writer) => {
        const locked = await lockSpace(writer, made.space);
        const next = (locked?.headSeq ?? 0) + 1;
        await advanceSpace(writer, made.space, { headSeq: next, headChain: made.headChain, keyVersion: 1 });
        await appendJournal(writer, made.space, [{ seq: next, row: randomBytes(8), chain: id32() }]);
      });
    };
    const look = async () => {
      await store.read(async (reader) => {
        const head = (await findSpace(reader, made.space))?.headSeq;
        assert.equal((await journalAfter(reader, made.space, 0, 1000)).length, head);
        seen.push(head);
      });
    };
    await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 ? look() : step())));
    assert.equal((await store.read((reader) => findSpace(reader, made.space)))?.headSeq, 20);
    assert.equal(seen.length, 20);
  });

  withStore('a journal is read in order, in pages, byte for byte', async (store) => {
    const made = space();
    const rows = Array.from({ length: 250 }, (_, index) => ({
      seq: index + 1,
      row: new Uint8Array(randomBytes(index % 300)),
      chain: id32<typeof made.headChain>(),
    }));
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await appendJournal(writer, made.space, rows);
    });
    await store.read(async (reader) => {
      const page = await journalAfter(reader, made.space, 100, 120);
      assert.deepEqual(
        page.map((row) => [row.seq, toHex(row.row)]),
        rows.slice(100, 220).map((row) => [row.seq, toHex(row.row)]),
      );
      assert.equal(await chainAt(reader, made.space, 77), rows[76]?.chain);
      assert.equal(await chainAt(reader, made.space, 999), null);
    });
    await assert.rejects(store.write((writer) => appendJournal(writer, made.space, rows.slice(0, 1))));
  });

  withStore('entries keep every field, are found by place and by id with all above them', async (store) => {
    const made = space();
    const top = entry(ROOT_ENTRY, 'top');
    const sub = entry(top.entry, 'größe\u{1f40b}');
    const link = entry(sub.entry, 'link', { kind: 'symlink', target: '../elsewhere' });
    const inside = file(sub.entry, 'inside.txt');
    const trashed = file(TRASH_ENTRY, 'gone', { trashedFrom: top.entry });
    const twin = file(TRASH_ENTRY, 'gone', { trashedFrom: top.entry });
    const all = [top, sub, link, inside, trashed, twin];
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, all, isNew);
    });
    await store.read(async (reader) => {
      const byId = new Map(
        (await entriesWithAncestors(reader, made.space, [inside.entry, link.entry, trashed.entry, ROOT_ENTRY])).map(
          (one) => [one.entry, one],
        ),
      );
      for (const one of [top, sub, link, inside, trashed]) assert.deepEqual(byId.get(one.entry), one);
      assert.equal(byId.size, 5);
      const places = [
        { parent: sub.entry, name: 'inside.txt' },
        { parent: ROOT_ENTRY, name: 'TOP' },
        { parent: top.entry, name: sub.name },
      ];
      assert.deepEqual((await entriesAt(reader, made.space, places)).map(({ name: found }) => found).sort(), [
        'größe\u{1f40b}',
        'inside.txt',
      ]);
      assert.deepEqual((await childrenOf(reader, made.space, [sub.entry])).length, 2);
      assert.equal(await heightOf(reader, made.space, top.entry, 300), 2);
      assert.equal(await heightOf(reader, made.space, inside.entry, 300), 0);
      assert.deepEqual(await countFiles(reader, made.space), { files: 1, plainBytes: 7 });
      assert.deepEqual(await entriesWithAncestors(reader, id16(), [top.entry]), []);
    });
  });

  withStore('two entries of a parent cannot have one name, but may change names at once', async (store) => {
    const made = space();
    const left = entry(ROOT_ENTRY, 'left');
    const right = entry(ROOT_ENTRY, 'right');
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, [left, right], isNew);
    });
    const clash = [{ ...left, name: 'right' }];
    await assert.rejects(store.write((writer) => replaceEntries(writer, made.space, clash, () => false)));
    const swapped = [
      { ...left, name: 'right' },
      { ...right, name: 'left' },
    ];
    await store.write((writer) => replaceEntries(writer, made.space, swapped, () => false));
    const [found] = await store.read((reader) => entriesAt(reader, made.space, [{ parent: ROOT_ENTRY, name: 'left' }]));
    assert.equal(found?.entry, right.entry);
  });

  withStore('what was changed after a seq is found, whoever did it', async (store) => {
    const made = space();
    const old = entry(ROOT_ENTRY, 'old', { revisedBy: OTHER, placedBy: OTHER });
    const after = seq;
    const own = entry(ROOT_ENTRY, 'own');
    const revised = file(ROOT_ENTRY, 'revised', { revisedBy: OTHER, placed: 1 });
    const placed = file(ROOT_ENTRY, 'placed', { placedBy: OTHER, revision: 1 });
    const both = file(ROOT_ENTRY, 'both', { placedBy: OTHER, placed: 1 });
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, [old, own, revised, placed, both], isNew);
    });
    const found = await store.read((reader) => entriesChangedAfter(reader, made.space, after));
    const changed = [own, revised, placed, both].map((one) => one.entry);
    assert.deepEqual([...found].sort(), changed.sort());
  });

  withStore('a listing gives the present row of each entry, in order, in pages', async (store) => {
    const made = space();
    const entries = Array.from({ length: 30 }, (_, index) => entry(ROOT_ENTRY, `e${index}`));
    const rows = entries.map((one) => ({ seq: one.seq, row: new Uint8Array(randomBytes(9)), chain: id32<never>() }));
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, entries, isNew);
      await appendJournal(writer, made.space, rows);
    });
    const rowOf = new Map(entries.map((one, index) => [one.entry, rows[index]?.row]));
    const ids = entries.map((one) => one.entry).sort();
    const page = await store.read((reader) => presentRows(reader, made.space, ids[9] ?? null, 10));
    assert.deepEqual(
      page.map((one) => one.entry),
      ids.slice(10, 20),
    );
    for (const one of page) assert.deepEqual(new Uint8Array(one.row), rowOf.get(one.entry));
  });

  withStore('files in another pool than the rules want are found and settled', async (store) => {
    const made = space();
    const moved = file(ROOT_ENTRY, 'moved', { poolWanted: 'mp3' });
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, [file(ROOT_ENTRY, 'stays'), moved, entry(ROOT_ENTRY, 'f')], isNew);
    });
    const misplaced = () => store.read((reader) => misplacedFiles(reader, made.space, null, 10));
    assert.deepEqual(
      (await misplaced()).map((one) => one.entry),
      [moved.entry],
    );
    await store.write((writer) => settlePool(writer, made.space, { ...moved, revision: moved.revision + 1 }, 'mp3', 7));
    assert.equal((await misplaced()).length, 1, 'another revision was settled, not this one');
    await store.write((writer) => settlePool(writer, made.space, moved, 'mp3', 7));
    assert.equal((await misplaced()).length, 0);
  });

  withStore('contents and presence are kept per space; holders told again are the newer ones', async (store) => {
    const [mine, yours] = [space(), space()];
    const bytes = new Uint8Array(randomBytes(200));
    const content = { manifestId: id32<never>(), contentId: id32<never>(), size: 5, bytes };
    const blocks = Array.from({ length: 700 }, (_, index) =>
      toHex(createHash('sha256').update(`${index}`).digest()),
    ) as Presence['block'][];
    const rows = blocks.map((block): Presence => ({ block, pool: 'txt', length: 9, holders: [1], owed: 0 }));
    await store.write(async (writer) => {
      await insertContents(writer, mine.space, [content, content].slice(0, 1));
      await insertContents(writer, mine.space, [{ ...content, size: 6 }]);
      await putPresence(writer, mine.space, rows);
      await putPresence(writer, mine.space, [{ ...(rows[3] as Presence), holders: [300, 2], owed: 1 }]);
      await putPresence(writer, mine.space, [{ ...(rows[3] as Presence), pool: 'mp3' }]);
    });
    await store.read(async (reader) => {
      const found = await findContents(reader, mine.space, [content.manifestId]);
      assert.equal(found.get(content.manifestId)?.size, 5, 'a manifest’s id names its bytes: the first word counts');
      assert.deepEqual(new Uint8Array(found.get(content.manifestId)?.bytes ?? []), bytes);
      assert.equal((await findContents(reader, yours.space, [content.manifestId])).size, 0);
      assert.equal((await findPresence(reader, mine.space, blocks)).length, 701);
      assert.equal((await findPresence(reader, yours.space, blocks)).length, 0);
      const [third] = await findPresence(reader, mine.space, [blocks[3] as Presence['block']], 'txt');
      assert.deepEqual([third?.holders, third?.owed], [[300, 2], 1]);
    });
  });

  withStore(
    'rows of copies are walked in order, found by what they owe, and counted by who holds them',
    async (store) => {
      const spaces = [id16<SpaceId>(), id16<SpaceId>()].sort();
      const made: PlacedPresence[] = [];
      for (const space of spaces)
        for (let index = 0; index < 30; index++) {
          const holders = [7, 300, 70].slice(0, index % 4);
          const pool = index % 3 === 0 ? 'b' : 'a';
          made.push({ space, block: id32(), pool, length: 10, holders, owed: Math.max(0, 2 - holders.length) });
        }
      await store.write(async (writer) => {
        for (const { space, ...row } of made) await putPresence(writer, space, [row]);
      });
      const textOf = ({ space, block, pool }: PlacedPresence) => `${space} ${block} ${pool}`;
      const sorted = [...made].sort((left, right) => (textOf(left) < textOf(right) ? -1 : 1));
      const walk = async (limit: number) => {
        const seen: PlacedPresence[] = [];
        for (;;) {
          const rows = await store.read((reader) => walkPresence(reader, seen.at(-1) ?? null, limit));
          seen.push(...rows);
          if (rows.length < limit) return seen;
        }
      };
      for (const limit of [1, 7, 60]) assert.deepEqual(await walk(limit), sorted);
      const owed: PlacedPresence[] = [];
      const reach = [
        { pool: 'a', nodes: 3 },
        { pool: 'b', nodes: 1 },
      ];
      for (;;) {
        const rows = await store.read((reader) => owedRows(reader, reach, owed.at(-1) ?? null, 4));
        owed.push(...rows);
        if (rows.length < 4) break;
      }
      const possible = (row: PlacedPresence) => row.owed > 0 && row.holders.length < (row.pool === 'a' ? 3 : 1);
      const wanted = sorted.filter(possible).sort((left, right) => left.holders.length - right.holders.length);
      assert.deepEqual(owed, wanted);
      await store.read(async (reader) => {
        assert.equal(await countPresence(reader), 60);
        const lacking = (pool: string, copies: number, without: readonly number[], heldBy: number | null) =>
          made.filter(
            (row) =>
              row.pool === pool &&
              row.holders.filter((holder) => !without.includes(holder)).length < copies &&
              (heldBy === null || row.holders.includes(heldBy)),
          ).length;
        for (const [without, heldBy] of [
          [[], null],
          [[300], null],
          [[7, 70], null],
          [[70], 70],
        ] as const)
          for (const copies of [1, 2, 3])
            assert.deepEqual(
              (await countLacking(reader, 'a', copies, without, heldBy)).blocks,
              lacking('a', copies, without, heldBy),
            );
        const held = made.filter(({ holders }) => holders.includes(300)).length;
        assert.deepEqual(await countHeldBy(reader, 300), { blocks: held, bytes: 10 * held });
        const byPool = await countOwedByPool(reader);
        const own = made.filter((row) => row.pool === 'b' && row.owed > 0);
        assert.deepEqual(byPool.get('b'), {
          owed: own.length,
          gone: own.filter(({ holders }) => holders.length === 0).length,
        });
      });
      const [first] = sorted as [PlacedPresence];
      await store.write((writer) =>
        updateHolders(writer, [
          { ...first, holders: [5, 6], owed: 0 },
          { ...first, block: id32() },
        ]),
      );
      assert.deepEqual((await walk(60))[0], { ...first, holders: [5, 6], owed: 0 });
      assert.equal((await walk(60)).length, 60);
    },
  );

  withStore('lies are counted by node and kind, one for each block, and forgotten', async (store) => {
    const lie = (number: number, block: number, what: LieKind, atMs: number) =>
      store.write((writer) =>
        noteLie(writer, { number, block: block.toString(16).padStart(64, '0') as BlockId, what, atMs }),
      );
    await lie(1, 1, 'wrong_proof', 10);
    await lie(1, 1, 'wrong_bytes', 30);
    await lie(1, 2, 'not_there', 20);
    await lie(2, 1, 'not_there', 5);
    const [one, two] = await store.read((reader) => countLies(reader, 0));
    assert.deepEqual(one, { number: 1, blocks: 2, firstMs: 20, lastMs: 30, what: ['not_there', 'wrong_bytes'] });
    assert.deepEqual(two, { number: 2, blocks: 1, firstMs: 5, lastMs: 5, what: ['not_there'] });
    assert.deepEqual(
      (await store.read((reader) => countLies(reader, 21))).map(({ blocks }) => blocks),
      [1],
    );
    await store.write((writer) => forgetLies(writer, 1, 25));
    assert.deepEqual(
      (await store.read((reader) => countLies(reader, 0))).map(({ blocks }) => blocks),
      [1, 1],
    );
    await store.write((writer) => forgetLies(writer, 1));
    assert.deepEqual(
      (await store.read((reader) => countLies(reader, 0))).map(({ number }) => number),
      [2],
    );
  });

  withStore(
    'a job is noted and ended for whom asked last, and passes again while something was left out',
    async (store) => {
      const job = { kind: 'move', subject: 'a' };
      const read = async () => (await store.read(allJobs))[0];
      await store.write((writer) => wantJob(writer, { ...job, mark: 'one' }));
      const one = await read();
      assert.deepEqual(one, { ...job, mark: 'one', place: null, done: 0, total: null, skipped: 0, again: false });
      assert.ok(one);
      assert.ok(await store.write((writer) => noteJob(writer, { ...one, place: 'x', done: 5, total: 9 }, 2)));
      assert.equal(await store.write((writer) => endPass(writer, one, 0)), 'later');
      assert.deepEqual(await read(), one);
      await store.write((writer) => ensureJob(writer, { ...job, mark: 'not new' }));
      assert.equal(await store.write((writer) => endPass(writer, one, 0)), 'again');
      await store.write((writer) => wantJob(writer, { ...job, mark: 'two' }));
      assert.equal(await store.write((writer) => noteJob(writer, { ...one, place: 'y' }, 0)), false);
      assert.equal(await store.write((writer) => endPass(writer, one, 0)), 'stale');
      const two = await read();
      assert.ok(two && two.mark === 'two' && two.place === null);
      assert.equal(await store.write((writer) => endPass(writer, two, 0)), 'ended');
      assert.equal(await read(), undefined);
      assert.equal(await store.write((writer) => endPass(writer, two, 0)), 'stale');
    },
  );

  withStore('uploads live until their lease ends', async (store) => {
    const made = space();
    const upload = {
      upload: id16<UploadId>(),
      space: made.space,
      device: DEVICE,
      entry: id16<EntryId>(),
      parent: ROOT_ENTRY,
      name: 'film.mkv',
      size: 1e12,
      pool: 'others',
      keyVersion: 3,
      leaseMs: 1000,
    };
    const block = id32<Presence['block']>();
    await store.write(async (writer) => {
      await insertUploads(writer, [upload]);
      await putUploadBlocks(writer, upload, [{ block, length: 5, holders: [4], owed: 0 }]);
      await putUploadBlocks(writer, upload, [{ block, length: 5, holders: [4, 5], owed: 0 }]);
    });
    await store.read(async (reader) => {
      assert.deepEqual((await findUploads(reader, [upload.upload, id16()])).get(upload.upload), upload);
      const [brought] = await findUploadBlocks(reader, upload, [block, id32()]);
      assert.deepEqual(brought, { block, pool: 'others', length: 5, holders: [4, 5], owed: 0 });
      assert.equal((await findUploadBlocks(reader, { ...upload, pool: 'txt' }, [block])).length, 0);
      assert.deepEqual(await leftBlocks(reader, null, 10), []);
      assert.deepEqual(await expiredUploads(reader, 1001, 10), [upload.upload]);
    });
    await store.write((writer) => renewUploads(writer, [upload.upload], 5000));
    assert.deepEqual(await store.read((reader) => expiredUploads(reader, 1001, 10)), []);
    await store.write((writer) => removeUploads(writer, [upload.upload]));
    await store.read(async (reader) => {
      assert.equal((await findUploads(reader, [upload.upload])).size, 0);
      // What it brought is left to garbage collection.
      const left = await leftBlocks(reader, null, 10);
      assert.deepEqual(left, [{ upload: upload.upload, block, holders: [4, 5] }]);
      assert.deepEqual(await leftBlocks(reader, left[0] ?? null, 10), []);
    });
    await store.write(async (writer) => removeLeftBlocks(writer, await leftBlocks(writer, null, 10)));
    await store.read(async (reader) => assert.deepEqual(await leftBlocks(reader, null, 10), []));
  });

  withStore('rows are condemned, spared by whoever relies on them, and removed', async (store) => {
    const [made, other] = [space(), space()];
    const blocks = [id32<Presence['block']>(), id32<Presence['block']>()].sort() as [
      Presence['block'],
      Presence['block'],
    ];
    const row = (block: Presence['block'], pool: string): Presence => ({
      block,
      pool,
      length: 5,
      holders: [1],
      owed: 0,
    });
    const rows = [row(blocks[0], 'mp3'), row(blocks[0], 'txt'), row(blocks[1], 'txt')];
    const content = { manifestId: id32<never>(), contentId: id32<never>(), size: 1, bytes: new Uint8Array([1]) };
    const condemned = { mark: 3, atMs: 7 };
    const page = async (after: { block: Presence['block']; pool: string } | null, limit: number) =>
      store.read((reader) => presenceAfter(reader, made.space, after, limit));
    await store.write(async (writer) => {
      for (const one of [made, other]) {
        await insertSpace(writer, one);
        await putPresence(writer, one.space, rows);
        await insertContents(writer, one.space, [content]);
      }
      for (const one of rows) await judgePresence(writer, made.space, one, condemned);
      await judgeContent(writer, made.space, content.manifestId, condemned);
    });
    const all = await page(null, 10);
    assert.deepEqual(
      all,
      rows.map((one) => ({ ...one, condemned })),
    );
    assert.deepEqual(await page(all[0] ?? null, 1), all.slice(1, 2));
    assert.deepEqual(await page(all[1] ?? null, 10), all.slice(2));
    await store.read(async (reader) => {
      assert.ok(await isAnyCondemned(reader, made.space, [blocks[1]], 'txt'));
      assert.ok(!(await isAnyCondemned(reader, made.space, [blocks[1]], 'mp3')));
      assert.ok(!(await isAnyCondemned(reader, other.space, blocks, 'txt')));
    });
    await store.write(async (writer) => {
      await sparePresence(writer, made.space, [blocks[0]], 'txt');
      await putPresence(writer, made.space, [row(blocks[1], 'txt')]);
      await insertContents(writer, made.space, [{ ...content, bytes: new Uint8Array([2]) }]);
    });
    assert.deepEqual(
      (await page(null, 10)).map((one) => one.condemned),
      [condemned, null, null],
    );
    const kept = await store.read((reader) => contentsAfter(reader, made.space, null, 10));
    assert.deepEqual(kept, [{ manifest: content.manifestId, condemned: null }]);
    const [stored] = (await store.read((reader) => findContents(reader, made.space, [content.manifestId]))).values();
    assert.deepEqual(stored?.bytes, content.bytes, 'what is there stays as it is');
    await store.write(async (writer) => {
      await removePresence(writer, made.space, row(blocks[0], 'mp3'));
      await removeContent(writer, made.space, content.manifestId);
      await putCollectionState(writer, { mark: 1, markedMs: 2, fence: 3, forgottenFence: 4 });
      await putCollectionState(writer, { mark: 2, markedMs: 3, fence: 4, forgottenFence: 5 });
    });
    assert.equal((await page(null, 10)).length, 2);
    await store.read(async (reader) => {
      assert.deepEqual(await contentsAfter(reader, made.space, null, 10), []);
      assert.equal((await contentsAfter(reader, other.space, null, 10)).length, 1);
      assert.equal((await presenceAfter(reader, other.space, null, 10)).length, 3);
      assert.deepEqual(await collectionState(reader), { mark: 2, markedMs: 3, fence: 4, forgottenFence: 5 });
    });
  });

  withStore('copies that nothing names: judged, ordered, noted, forgotten', async (store) => {
    const made = space();
    const [a, b, c] = [id32<Presence['block']>(), id32<Presence['block']>(), id32<Presence['block']>()].sort() as [
      Presence['block'],
      Presence['block'],
      Presence['block'],
    ];
    const copy = (node: number, block: Presence['block']) => ({ node, block });
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await putPresence(writer, made.space, [{ block: a, pool: 'txt', length: 5, holders: [1, 2], owed: 0 }]);
      await addGarbage(writer, [copy(1, a), copy(1, b), copy(2, b), copy(2, c)], 100);
      await addGarbage(writer, [copy(1, b)], 900);
    });
    const judged = async (nodes: number[], beforeMs: number) =>
      (await store.read((reader) => garbageToJudge(reader, nodes, beforeMs, 10))).map(({ node, block }) => [
        node,
        block,
      ]);
    assert.deepEqual(await judged([1, 2], 99), []);
    assert.deepEqual(await judged([1, 2], 100), [
      [1, a],
      [1, b],
    ]);
    assert.deepEqual(await judged([2], 100), [
      [2, b],
      [2, c],
    ]);
    const named = await store.read((reader) => namedCopies(reader, [a, b]));
    assert.deepEqual([...named].sort(), [copyKey(copy(1, a)), copyKey(copy(2, a))].sort());
    await store.write((writer) => orderGarbage(writer, 1, [b], { fence: 5, sinceMs: 200 }));
    assert.deepEqual(await judged([1], 0), [[1, b]], 'an order that was not answered is due at once');
    await store.write((writer) => noteGarbage(writer, 1, [b], { state: 'deleted', fence: 4, sinceMs: 300 }));
    assert.deepEqual(await judged([1], 0), [[1, b]], 'the answer to another order says nothing');
    await store.write((writer) => noteGarbage(writer, 1, [b], { state: 'deleted', fence: 5, sinceMs: 300 }));
    assert.deepEqual(await judged([1], 0), []);
    assert.equal(await store.read(countGarbage), 3);
    const old = await store.read((reader) => deletedBefore(reader, 300, 10));
    assert.deepEqual(old, [{ node: 1, block: b, state: 'deleted', fence: 5, sinceMs: 300 }]);
    await store.write((writer) => addGarbage(writer, [copy(1, b)], 400));
    const [again] = (await store.read((reader) => garbageOfBlocks(reader, [b]))).filter(({ node }) => node === 1);
    assert.deepEqual(again, { node: 1, block: b, state: 'waiting', fence: 5, sinceMs: 400 });
    await store.write((writer) => dropGarbage(writer, 1, [a, b]));
    assert.equal(await store.read(countGarbage), 2);
  });

  withStore('answers are remembered once per device and op id, and forgotten oldest first', async (store) => {
    const made = space();
    const ops = [id16<OpId>(), id16<OpId>(), id16<OpId>()] as const;
    const result = { space: made.space, bodyHash: new Uint8Array(randomBytes(32)), answer: '{}' };
    for (const [index, op] of ops.entries())
      await store.write((writer) => insertOpResult(writer, { device: DEVICE, op, atMs: index }, result));
    const again = store.write((writer) => insertOpResult(writer, { device: DEVICE, op: ops[0], atMs: 9 }, result));
    await assert.rejects(again);
    await store.write((writer) => insertOpResult(writer, { device: OTHER, op: ops[0], atMs: 9 }, result));
    await store.write((writer) => forgetOpResults(writer, 2, 1));
    const left = await store.read(async (reader) => Promise.all(ops.map((op) => findOpResult(reader, DEVICE, op))));
    assert.deepEqual(
      left.map((one) => one !== null),
      [false, true, true],
    );
    assert.deepEqual(new Uint8Array(left[1]?.bodyHash ?? []), result.bodyHash);
  });

  withStore(
    'a hold keeps its operations in order; what is held anew of an entry takes the old one’s place',
    async (store) => {
      const made = space();
      const hold: StoredHold = {
        hold: toHex(randomBytes(8)),
        space: made.space,
        device: DEVICE,
        reasons: new Set(['deletes', 'emptied'] as const),
        state: 'open',
        madeMs: 5,
        lastMs: 7,
        doneSeq: null,
        decidedMs: null,
      };
      const entries = Array.from({ length: 250 }, () => id16<EntryId>());
      const heldDelete = (entry: EntryId, basis: number): HeldOperation => {
        return { operation: { kind: 'delete', entry, basis }, pool: null, files: 2, hardened: 0 };
      };
      await store.write(async (writer) => {
        await putHold(writer, hold);
        await addHeld(
          writer,
          hold.hold,
          entries.map((entry) => heldDelete(entry, 1)),
        );
        await addHeld(writer, hold.hold, [{ ...heldDelete(entries[0] as EntryId, 2), pool: 'txt', hardened: 1 }]);
      });
      await store.read(async (reader) => {
        assert.deepEqual(await findHolds(reader, [hold.hold, 'unknown']), [hold]);
        assert.deepEqual(await holdsInSpace(reader, made.space, { device: DEVICE, state: 'open' }), [hold]);
        assert.deepEqual(await holdsInSpace(reader, made.space, { device: OTHER }), []);
        assert.deepEqual(await heldTotals(reader, hold.hold), { operations: 250, files: 500, hardened: 1 });
        const kept = await heldOperations(reader, hold.hold, 1000);
        assert.deepEqual(
          kept.map(({ operation }) => operation.entry),
          [...entries.slice(1), entries[0]],
        );
        assert.deepEqual(kept.at(-1), { ...heldDelete(entries[0] as EntryId, 2), pool: 'txt', hardened: 1 });
        const among = await heldAmong(reader, [hold.hold], [entries[3] as EntryId, id16<EntryId>()]);
        assert.deepEqual([...among], [entries[3]]);
      });
      await store.write((writer) => dropHeld(writer, [hold.hold], entries.slice(0, 100)));
      assert.equal((await store.read((reader) => heldTotals(reader, hold.hold))).operations, 150);
      const approved: StoredHold = { ...hold, state: 'approved', decidedMs: 9 };
      await store.write((writer) => putHold(writer, approved));
      assert.deepEqual(await store.read(unfinishedHolds), [approved]);
      await store.write(async (writer) => {
        await forgetHolds(writer, 100);
        await dropHeld(writer, [hold.hold], null);
      });
      assert.deepEqual(await store.read((reader) => findHolds(reader, [hold.hold])), [approved], 'it is not done yet');
      await store.write(async (writer) => {
        await putHold(writer, { ...approved, doneSeq: 4 });
        await forgetHolds(writer, 100);
      });
      assert.deepEqual(await store.read((reader) => findHolds(reader, [hold.hold])), []);
    },
  );

  withStore('what a device did is summed over a time, per space and device, and forgotten', async (store) => {
    const source = { space: space().space, device: DEVICE };
    const add = (atMs: number, old: number, from = source) =>
      store.write((writer) =>
        addTally(writer, from, id16<OpId>(), { files: 0, old, hardened: 1 }, { atMs, sinceMs: atMs - 10 }),
      );
    const sum = (sinceMs: number) => store.read((reader) => sumTally(reader, source, { sinceMs }));
    await add(100, 1);
    await add(105, 10);
    await add(105, 1000, { ...source, device: OTHER });
    assert.deepEqual(await sum(100), { files: 0, old: 11, hardened: 2 });
    assert.deepEqual(await sum(101), { files: 0, old: 10, hardened: 1 });
    await add(112, 100);
    assert.deepEqual(await sum(0), { files: 0, old: 110, hardened: 2 }, 'what is older than the time is gone');
    await store.write((writer) => forgetTally(writer, source));
    assert.deepEqual(await sum(0), { files: 0, old: 0, hardened: 0 });
  });

  withStore(
    'what lies in folders is weighed at any depth, but in generated ones; counting stops where it may',
    async (store) => {
      const made = space();
      const day = limits.holdYoungMs;
      const top = entry(ROOT_ENTRY, 'top');
      const inner = entry(top.entry, 'inner');
      const modules = entry(inner.entry, 'node_modules');
      const git = entry(inner.entry, '.git');
      const objects = entry(git.entry, 'objects');
      const plain = entry(inner.entry, 'objects');
      const trashed = entry(TRASH_ENTRY, 'gone', { trashedFrom: top.entry });
      const files = [
        ...Array.from({ length: 90 }, (_, index) => file(inner.entry, `f${index}`, { madeMs: index < 60 ? 0 : day })),
        ...Array.from({ length: 30 }, (_, index) => file(modules.entry, `f${index}`, { madeMs: 0 })),
        ...Array.from({ length: 30 }, (_, index) => file(objects.entry, `f${index}`, { madeMs: 0 })),
        file(plain.entry, 'counts', { madeMs: 0 }),
        entry(top.entry, 'link', { kind: 'symlink', target: 'x', madeMs: 5 * day }),
        file(ROOT_ENTRY, 'at the root', { madeMs: 0 }),
        file(trashed.entry, 'gone', { madeMs: 0 }),
      ];
      const all = [top, inner, modules, git, objects, plain, trashed, ...files];
      await store.write(async (writer) => {
        await insertSpace(writer, made);
        await replaceEntries(writer, made.space, all, isNew);
      });
      await store.read(async (reader) => {
        // Made later than now by more than a day: a clock was set back, and it is as good as old.
        assert.deepEqual(await weighBelow(reader, made.space, top, 1.5 * day), { files: 92, old: 62 });
        assert.deepEqual(await weighBelow(reader, made.space, plain, day), { files: 1, old: 1 });
        assert.equal(await countPopulation(reader, made.space, 1000), 93);
        assert.equal(await countPopulation(reader, made.space, 50), 50);
        assert.equal(await countPopulation(reader, id16(), 50), 0);
      });
    },
  );

  withStore('files are found by what their names begin with and by when they were made', async (store) => {
    const made = space();
    const folder = entry(ROOT_ENTRY, 'folder');
    const names = ['a.txt', 'a.txt.locked', 'a.locked', 'a', 'ab.txt', 'a-b.txt', 'größe.txt.x'];
    const files = names.map((name, index) => file(folder.entry, name, { madeMs: index === 2 ? 1 : 10 }));
    await store.write(async (writer) => {
      await insertSpace(writer, made);
      await replaceEntries(writer, made.space, [folder, ...files], isNew);
    });
    const ranges = [
      { parent: folder.entry, stem: 'a' },
      { parent: folder.entry, stem: 'größe' },
      { parent: ROOT_ENTRY, stem: 'a' },
    ];
    const found = await store.read((reader) => filesNamedLike(reader, made.space, ranges, 5));
    assert.deepEqual(found.map(({ name }) => name).sort(), ['a.txt', 'a.txt.locked', 'größe.txt.x']);
  });
}
