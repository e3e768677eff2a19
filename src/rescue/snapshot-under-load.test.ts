/** A snapshot is read page by page while commits go on. What comes out of the pools is the index as it was at one moment all the same. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { must } from '#core/assert.ts';
import { ROOT_ENTRY, type BlockId, type EntryId } from '#core/ids.ts';
import { verifyRoot } from '#core/root-record.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import type { Answer, Operation } from '#protocol/sync.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { never, newId, ServerRig, type RigNode, type SealedFile } from '../../test/server-rig.ts';
import type { FoundBlocks } from './found-blocks.ts';
import { openMetadata } from './open-metadata.ts';

const FILES = 1700;

test('names that change places, files that are edited, deleted, moved and made between any two pages', async (context) => {
  const top = mkdtempSync(path.join(tmpdir(), 'holdfast-load-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  let between: (() => Promise<void>) | null = null;
  let failure: Error | null = null;
  const wrapMeta = (store: MetaStore): MetaStore => ({
    ...store,
    close: () => store.close(),
    write: (work) => store.write(work),
    read: async (work) => {
      const result = await store.read(work);
      const commit = between;
      between = null;
      await commit?.().catch((error: unknown) => {
        failure ??= error as Error;
      });
      if (commit) between = commit;
      return result;
    },
  });
  const rig = await ServerRig.start({ wrapMeta });
  context.after(() => rig.close());
  const device = await rig.link('desk');
  const entries = Array.from({ length: FILES }, () => newId<EntryId>());
  const seqs = new Map<EntryId, { seq: number; name: string }>();
  const note = (answers: readonly Answer[], of: readonly (readonly [EntryId, string])[]) =>
    answers.forEach((answer, index) => {
      assert.equal(answer.kind, 'applied', JSON.stringify(answer));
      const [entry, name] = must(of[index], 'an operation');
      seqs.set(entry, { seq: answer.kind === 'applied' ? answer.seq : 0, name });
    });
  for (let first = 0; first < FILES; first += 850) {
    const files: SealedFile[] = [];
    const some = entries.slice(first, first + 850);
    const operations = some.map((entry, index) =>
      device.createFile(ROOT_ENTRY, `${first + index}.txt`, files, Buffer.from(`${(first + index) % 50}`), entry),
    );
    note(
      (await device.each(operations, files)).answers,
      some.map((entry, index) => [entry, `${first + index}.txt`]),
    );
  }
  let round = 0;
  between = async () => {
    if (round >= 12) return;
    round++;
    // Old and new entries, in pages that were read and in pages that were not.
    const pick = (step: number): EntryId => must(entries[(round * 131 + step * 397) % FILES], 'an entry');
    const at = (entry: EntryId) => must(seqs.get(entry), 'it was made');
    const [one, other, gone, edited] = [pick(0), pick(1), pick(2), pick(3)];
    const swap: Operation[] = [
      { kind: 'move', entry: one, base: at(one).seq, parent: ROOT_ENTRY, name: at(other).name },
      { kind: 'move', entry: other, base: at(other).seq, parent: ROOT_ENTRY, name: at(one).name },
    ];
    const files: SealedFile[] = [];
    const made = newId<EntryId>();
    const create = device.createFile(ROOT_ENTRY, `new-${round}.txt`, files, Buffer.from(`new ${round}`), made);
    device.createFile(ROOT_ENTRY, 'unused', files, Buffer.from(`edited in ${round}`));
    const content = { ...must(files[1], 'sealed').content, manifest: 1 };
    const update: Operation = {
      kind: 'update',
      entry: edited,
      base: at(edited).seq,
      content,
      target: null,
      mtimeUs: 2,
      exec: true,
    };
    const { head } = await device.commit([swap, [create], [update]], files).then(({ answers, head }) => {
      const named: [EntryId, string][] = [
        [one, at(other).name],
        [other, at(one).name],
        [made, `new-${round}.txt`],
        [edited, at(edited).name],
      ];
      note(answers, named);
      return { head };
    });
    await device.commit([[{ kind: 'delete', entry: gone, basis: head.seq }]]);
    // Its name is somebody else's at once.
    const taken: SealedFile[] = [];
    await device.each([device.createFile(ROOT_ENTRY, at(gone).name, taken, Buffer.from('taken'))], taken);
  };
  await rig.server.makeRoot();
  between = null;
  assert.equal(failure, null);
  assert.ok(round >= 4, `${round} commits came between`);
  await rig.server.close();

  const imported = path.join(top, 'imported.db');
  const [node] = rig.nodes as [RigNode];
  const kit = must(rig.keeper.confirmed, 'a root key');
  const root = must(verifyRoot(p, must(node.roots.at(-1), 'a root'), kit.cluster), 'signed');
  const { meta, index } = await openMetadata(
    {
      primitives: p,
      sql: sqliteOpener,
      placesPath: '',
      makeStore: () => openSqliteMetaStore(sqliteOpener, imported),
      signal: never,
      onProgress: () => undefined,
    },
    kit,
    [root],
    blocksOn(node),
  );
  await meta.close();
  const source = path.join(top, 'source.db');
  cpSync(rig.metaPath, source);
  const [before, after] = [new DatabaseSync(source), new DatabaseSync(imported)];
  // What was committed after the end of the snapshot is not in it: nothing else may differ.
  const { headSeq } = must(index.heads[0], 'a space');
  for (const sql of [
    'select * from entry where seq <= ? order by space, entry',
    'select * from journal where seq <= ? order by space, seq',
  ]) {
    const rows = (database: DatabaseSync) =>
      database
        .prepare(sql)
        .all(headSeq)
        .map((row) => JSON.stringify(row));
    const expected = rows(before);
    const found = new Set(rows(after));
    const changedSince = new Set(
      before
        .prepare('select entry from entry where seq > ?')
        .all(headSeq)
        .map((row) => JSON.stringify(row['entry'])),
    );
    assert.deepEqual(
      expected.filter((row) => !found.has(row)),
      [],
      sql,
    );
    if (changedSince.size === 0) assert.equal(found.size, expected.length, sql);
  }
  const manifests =
    'select count(*) as n from entry left join content using (space, manifest) where content.bytes is null and kind = ?';
  assert.equal(after.prepare(manifests).get('file')?.['n'], 0);
  before.close();
  after.close();
  await rig.open();
});

/** Blocks of one node, as a rescue would have found them. */
function blocksOn({ store }: RigNode): FoundBlocks {
  const read = async (id: BlockId): Promise<Uint8Array | null> => {
    const [got] = await store.get([id], never);
    return got?.kind === 'found' ? got.bytes : null;
  };
  return { has: () => true, read } as never;
}
