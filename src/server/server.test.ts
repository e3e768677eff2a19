import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId, type OpId, type UploadId } from '#core/ids.ts';
import { chainNext, chainStart } from '#core/journal-row.ts';
import { commit, need, prepare, put, settle } from '#protocol/sync.ts';
import { blocks, contents } from '#protocol/contents.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { folder, newId, ServerRig } from '../../test/server-rig.ts';

async function withRig(work: (rig: ServerRig) => Promise<void>): Promise<void> {
  const rig = await ServerRig.start();
  try {
    await work(rig);
  } finally {
    await rig.close();
  }
}

test('files that one device commits, another lists, pulls and fetches byte for byte', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const start = await two.head();
    const files: Parameters<typeof one.createFile>[2] = [];
    const sub = newId<EntryId>();
    const text = randomBytes(5000);
    const { answers, head } = await one.commit(
      [
        [folder(ROOT_ENTRY, 'music', sub), one.createFile(sub, 'a.mp3', files, randomBytes(3000))],
        [one.createFile(ROOT_ENTRY, 'b.txt', files, text)],
        [one.createFile(ROOT_ENTRY, 'empty.pdf', files, new Uint8Array())],
      ],
      files,
    );
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['applied', 'applied', 'applied', 'applied'],
    );
    const pulled = await two.pullAll(start);
    assert.equal(pulled.rows.length, 4);
    let chain = chainStart(p, two.space, start.epoch);
    for (const row of pulled.bytes) chain = chainNext(p, chain, row);
    assert.equal(chain, head.chain, 'the chain replays from the rows');
    assert.equal((await two.listAll()).rows.length, 4);
    const asked = { space: two.space, manifests: files.map((file) => file.manifestId), budgetBytes: 1 << 20 };
    const { response, parts } = await two.ask(contents, asked);
    response.items.forEach((item, index) => {
      assert.equal(item.kind, 'found');
      if (item.kind !== 'found') return;
      assert.deepEqual(
        item.blocks?.map((part) => Buffer.from(parts[part] as Uint8Array)),
        files[index]?.blocks.map(({ bytes }) => Buffer.from(bytes)),
      );
    });
    const stored = await Promise.all(rig.nodes.map(async ({ pool, store }) => [pool, await store.status()] as const));
    assert.deepEqual(
      stored.map(([pool, status]) => [pool, (status as { blocks: number }).blocks]),
      [
        ['mp3', 1],
        ['txt', 1],
        ['pdf', 0],
        ['others', 0],
      ],
    );
  }));

test('the same request again gives the same answer; another body under its id is refused', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const op = newId<OpId>();
    const groups = [[folder(ROOT_ENTRY, 'a')]];
    const first = await one.commit(groups, [], { op });
    // The totals are part of the body, so that the very same request has to be sent.
    const request = {
      op: newId<OpId>(),
      ...(await one.standing()),
      totals: { plan: newId<OpId>(), creates: 1, updates: 0, moves: 0, deletes: 0 },
      uploads: [],
      groups: [[folder(ROOT_ENTRY, 'b')]],
      blocks: [],
    };
    const answered = await one.ask(commit, request);
    assert.deepEqual((await one.ask(commit, request)).response, answered.response);
    await assert.rejects(one.commit([[folder(ROOT_ENTRY, 'c')]], [], { op }), { code: 'idempotency_conflict' });
    const settled = await one.ask(settle, { space: one.space, op });
    assert.deepEqual(settled.response, { kind: 'answered', ...first });
    assert.equal((await one.listAll()).rows.length, 2);
  }));

test('a request that was settled as void is refused when it arrives later', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const op = newId<OpId>();
    assert.deepEqual((await one.ask(settle, { space: one.space, op })).response, { kind: 'void' });
    await assert.rejects(one.commit([[folder(ROOT_ENTRY, 'late')]], [], { op }), { code: 'voided' });
    assert.deepEqual((await one.ask(settle, { space: one.space, op })).response, { kind: 'void' });
    assert.equal((await one.listAll()).rows.length, 0);
  }));

test('two devices race: the server’s order decides, and the loser learns it', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const files: Parameters<typeof one.createFile>[2] = [];
    const entry = newId<EntryId>();
    const made = await one.each([one.createFile(ROOT_ENTRY, 'f.txt', files, randomBytes(100), entry)], files);
    const base = made.head.seq;
    const edits = [one.seal(randomBytes(200)), two.seal(randomBytes(300))] as const;
    const update = (content: { readonly content: (typeof edits)[0]['content'] }) => {
      return [
        [
          {
            kind: 'update',
            entry,
            base,
            content: { ...content.content, manifest: 0 },
            target: null,
            mtimeUs: 2,
            exec: false,
          } as const,
        ],
      ];
    };
    const results = await Promise.all([
      one.commit(update(edits[0]), [edits[0]]),
      two.commit(update(edits[1]), [edits[1]]),
    ]);
    const kinds = results.map(({ answers }) => answers[0]?.kind).sort();
    assert.deepEqual(kinds, ['applied', 'conflict']);
    const names = await Promise.all([one.each([folder(ROOT_ENTRY, 'same')]), two.each([folder(ROOT_ENTRY, 'same')])]);
    assert.deepEqual(names.map(({ answers }) => answers[0]?.kind).sort(), ['applied', 'name_taken']);
  }));

test('a delete spares what another device did after its basis', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const top = newId<EntryId>();
    const sub = newId<EntryId>();
    const made = await one.commit([
      [folder(ROOT_ENTRY, 'top', top), folder(top, 'sub', sub), folder(sub, 'old'), folder(top, 'other')],
    ]);
    const basis = made.head.seq;
    const fresh = newId<EntryId>();
    await two.each([folder(sub, 'new', fresh)]);
    const { answers } = await one.each([{ kind: 'delete', entry: top, basis }]);
    assert.equal(answers[0]?.kind, 'applied');
    assert.equal(answers[0]?.kind === 'applied' && answers[0].survivors, 1);
    const names = (await one.listAll()).rows.map((row) => (row.kind === 'entry' ? row.entry.name : '')).sort();
    // The trashed ones are rows of the list of nobody: they are not live.
    assert.deepEqual(names, ['new', 'sub', 'top']);
    const all = await one.each([{ kind: 'delete', entry: top, basis: (await one.head()).seq }]);
    assert.deepEqual(all.answers[0]?.kind, 'applied');
    assert.equal((await one.listAll()).rows.length, 0);
    const rows = (await one.pullAll({ ...made.head })).rows.at(-1);
    assert.equal(rows?.kind === 'entry' && rows.entry.parent, TRASH_ENTRY);
  }));

test('a large file goes by prepare, need, put and commit, also across a restart', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const plain = randomBytes(3 << 20);
    const file = one.seal(plain);
    const upload = newId<UploadId>();
    const entry = newId<EntryId>();
    const described = { upload, entry, parent: ROOT_ENTRY, name: 'large.pdf', size: plain.length };
    const opened = await one.ask(prepare, { space: one.space, files: [described] });
    assert.deepEqual(opened.response.files, [{ kind: 'ready', pool: 'pdf' }]);
    const ids = file.blocks.map(({ id }) => id);
    const half = file.blocks.slice(0, 2);
    const send = (some: typeof file.blocks) =>
      one.ask(
        put,
        { space: one.space, upload, blocks: some.map(({ id }) => id) },
        some.map(({ bytes }) => bytes),
      );
    await send(half);
    await rig.restart();
    await one.ask(prepare, { space: one.space, files: [described] });
    const missing = await one.ask(need, { space: one.space, upload, blocks: ids });
    assert.deepEqual(missing.response.missing, ids.slice(2));
    const create = {
      kind: 'create',
      entry,
      parent: ROOT_ENTRY,
      name: 'large.pdf',
      state: { kind: 'file', content: { ...file.content, manifest: 0 }, mtimeUs: 5, exec: true },
    } as const;
    const early = await one.commit([[create]], [file], { inline: false, uploads: [upload as never] });
    assert.deepEqual(early.answers[0], { kind: 'need_blocks', blocks: ids.slice(2) });
    for (const block of file.blocks.slice(2)) await send([block]);
    const done = await one.commit([[create]], [file], { inline: false, uploads: [upload as never] });
    assert.equal(done.answers[0]?.kind, 'applied');
    const fetched: Buffer[] = [];
    for (let at = 0; at < ids.length; ) {
      const indexes = ids.map((_, index) => index).slice(at);
      const { response, parts } = await one.ask(blocks, { space: one.space, manifest: file.manifestId, indexes });
      assert.ok(response.results.every((result) => result === 'found'));
      fetched.push(...parts.map((part) => Buffer.from(part)));
      at += response.results.length;
    }
    assert.deepEqual(
      fetched,
      file.blocks.map(({ bytes }) => Buffer.from(bytes)),
    );
  }));

test('after uploads the server’s directory holds neither plain nor sealed bytes of files', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const files: Parameters<typeof one.createFile>[2] = [];
    const plains = [randomBytes(64), randomBytes(20_000), Buffer.from('a diary that nobody may read '.repeat(400))];
    const operations = plains.map((plain, index) => one.createFile(ROOT_ENTRY, `f${index}.txt`, files, plain));
    await one.each(operations, files);
    const large = one.seal(randomBytes(1 << 20));
    const upload = newId<UploadId>();
    await one.ask(prepare, {
      space: one.space,
      files: [{ upload, entry: newId<EntryId>(), parent: ROOT_ENTRY, name: 'l.bin', size: 1 << 20 }],
    });
    for (const { id, bytes } of large.blocks) await one.ask(put, { space: one.space, upload, blocks: [id] }, [bytes]);
    mkdirSync(rig.directory, { recursive: true });
    const kept = readdirSync(rig.directory).map((name) => readFileSync(path.join(rig.directory, name)));
    assert.ok(kept.some((bytes) => bytes.length > 0));
    const samples = [
      ...plains.map((plain) => plain.subarray(16, 48)),
      ...[...files, large].flatMap((file) => file.blocks.map(({ bytes }) => Buffer.from(bytes.subarray(45, 77)))),
    ];
    assert.ok(samples.length > 5);
    for (const bytes of kept) for (const sample of samples) assert.equal(bytes.indexOf(sample), -1);
    // The search itself can find things: ids do lie there.
    assert.ok(kept.some((bytes) => bytes.indexOf(Buffer.from(large.blocks[0]?.id ?? '', 'hex')) >= 0));
  }));
