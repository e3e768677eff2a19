/** A server whose time passes by hand and whose steps are taken one at a time, with a look at everything it stores. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { sql } from 'kysely';
import type { BlockId, EntryId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { parseManifestPublic } from '#core/manifest.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { addPurged, purgedAmong } from '#meta/purging.ts';
import type { Clock } from '#world/clock.ts';
import { never, RigNode, ServerRig, type RigDevice, type RigOptions, type SealedFile } from './server-rig.ts';

export const GRACE_MS = 1000;
export const EVERY_MS = 500;
const DAY_MS = 24 * 3_600_000;

const text = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString('hex');

export class CollectWorld {
  rig!: ServerRig;
  one!: RigDevice;
  /** Every block that was ever sealed here. */
  readonly blocks = new Set<BlockId>();
  #meta!: MetaStore;
  #nowMs = Date.UTC(2030, 0, 1);
  #jumpedMs = 0;
  /** Where a step waits until it is let go on, and whose it is; null: nothing waits. */
  #waiting: { readonly actor: number; readonly go: () => void }[] | null = null;
  readonly #actor = new AsyncLocalStorage<number>();

  static async start(options: RigOptions = {}): Promise<CollectWorld> {
    return CollectWorld.started(new CollectWorld(), options);
  }

  protected static async started<World extends CollectWorld>(world: World, options: RigOptions = {}): Promise<World> {
    const began = world.#nowMs;
    const clock: Clock = {
      nowMs: () => world.#nowMs + world.#jumpedMs,
      monotonicMs: () => world.#nowMs - began,
      // The server does nothing by itself after its first look around.
      sleep: (_ms, signal) =>
        new Promise((resolve) => {
          if (signal.aborted) resolve();
          else signal.addEventListener('abort', () => resolve(), { once: true });
        }),
    };
    const wrapMeta = (store: MetaStore): MetaStore => {
      world.#meta = store;
      return {
        read: async (work) => (await world.#gate(), store.read(work)),
        write: async (work) => (await world.#gate(), store.write(work)),
        close: () => store.close(),
      };
    };
    const nodes = options.nodes ?? ['mp3', 'txt', 'others'].map((pool) => new RigNode(pool));
    for (const node of nodes) world.#slow(node);
    const collection = { everyMs: EVERY_MS, graceMs: GRACE_MS };
    world.rig = await ServerRig.start({ ...options, clock, wrapMeta, nodes, collection });
    world.one = await world.rig.link('one');
    await world.rig.server.collectGarbage();
    return world;
  }

  #slow(node: RigNode): void {
    const { store } = node;
    node.store = {
      has: (...of) => store.has(...of),
      status: () => store.status(),
      put: async (...of) => (await this.#gate(), store.put(...of)),
      get: async (...of) => (await this.#gate(), store.get(...of)),
      delete: async (...of) => (await this.#gate(), store.delete(...of)),
    };
  }

  #gate(): Promise<void> {
    const waiting = this.#waiting;
    if (!waiting) return Promise.resolve();
    return new Promise((go) => void waiting.push({ actor: this.#actor.getStore() ?? 0, go }));
  }

  /** All at once, one step at a time: `next` chooses whose, and who is fast and who is slow. */
  async interleave(actors: readonly (() => Promise<void>)[], next: (below: number) => number): Promise<void> {
    this.#waiting = [];
    let running = actors.length;
    const weights = actors.map(() => [1, 1, 6, 40][next(4)] as number);
    const all = actors.map((actor, index) => this.#actor.run(index, () => actor().finally(() => running--)));
    while (running > 0) {
      for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
      const odds = this.#waiting.flatMap(({ actor }, index) => Array<number>(weights[actor] ?? 1).fill(index));
      if (odds.length > 0) this.#waiting.splice(odds[next(odds.length)] as number, 1)[0]?.go();
    }
    this.#waiting = null;
    await Promise.all(all);
  }

  pass(ms: number): void {
    this.#nowMs += ms;
  }

  /** Somebody sets the clock ahead. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
  }

  /** One mark, and all that may go by then. */
  async cycle(): Promise<void> {
    this.pass(GRACE_MS);
    await this.rig.server.collectGarbage();
  }

  seal(bytes: Uint8Array): SealedFile {
    const file = this.one.seal(bytes);
    for (const { id } of file.blocks) this.blocks.add(id);
    return file;
  }

  /** As if an entry had lain in the trash for as long as it is kept, and had no history before: nothing names its contents any more. */
  async purge(entry: EntryId): Promise<void> {
    await this.#gate();
    await this.#meta.write(async (writer) => {
      const { db } = writer;
      const rows = await db.selectFrom('journal').select('row').execute();
      const revisions = rows.flatMap(({ row }) => {
        const parsed = parseRow(row);
        return parsed.kind === 'entry' && parsed.entry.entry === entry ? [parsed.entry.revision] : [];
      });
      await addPurged(writer, this.one.space, revisions);
      await db.deleteFrom('entry').where('entry', '=', Buffer.from(entry, 'hex')).execute();
      await db.deleteFrom('misplaced').where('entry', '=', Buffer.from(entry, 'hex')).execute();
    });
  }

  /** Days on which the server runs, with what it does once a day. */
  async days(count: number): Promise<void> {
    for (let day = 0; day < count; day++) {
      this.pass(DAY_MS);
      await this.rig.server.trimJournals();
      await this.rig.server.purgeHistory();
    }
  }

  async #rows(query: string): Promise<readonly Record<string, unknown>[]> {
    return this.#meta.read(async ({ db }) => (await sql.raw<Record<string, unknown>>(query).execute(db)).rows);
  }

  async count(table: string, where = '1'): Promise<number> {
    return Number((await this.#rows(`select count(*) as n from ${table} where ${where}`))[0]?.['n']);
  }

  /** Nothing is missing that anything names, and every copy that a row tells of is there. Answers which blocks that is. */
  async checkWhole(): Promise<ReadonlySet<string>> {
    const contents = new Map(
      (await this.#rows('select manifest, bytes from content')).map((row) => [
        text(row['manifest']),
        row['bytes'] as Uint8Array,
      ]),
    );
    const presence = (await this.#rows('select block, pool, holders from presence')).map((row) => ({
      block: text(row['block']),
      pool: String(row['pool']),
      holders: Buffer.from(row['holders'] as Uint8Array),
    }));
    const nodes = new Map(
      (await this.#rows('select node, number from node')).map((row) => [Number(row['number']), text(row['node'])]),
    );
    for (const { block, holders } of presence) {
      assert.ok(holders.length > 0, `${block} has no holders`);
      for (let at = 0; at < holders.length; at += 2) {
        const id = nodes.get(holders.readUInt16BE(at));
        const node = this.rig.nodes.find((one) => one.node === id);
        assert.deepEqual(await node?.store.has([block as BlockId], never), [true], `${block} is not on ${node?.pool}`);
      }
    }
    const live = new Set<string>();
    const check = (manifest: string, pools: readonly string[] | null) => {
      const bytes = contents.get(manifest);
      assert.ok(bytes, `manifest ${manifest} is gone`);
      for (const { id } of parseManifestPublic(bytes)?.blocks ?? []) {
        live.add(id);
        const found = presence.filter(({ block, pool }) => block === id && (pools === null || pools.includes(pool)));
        assert.ok(found.length > 0, `block ${id} of ${manifest} is not in ${pools?.join() ?? 'any pool'}`);
      }
    };
    const states = await this.#rows('select revision, manifest, pool from entry where manifest is not null');
    const rows = (await this.#rows('select row from journal')).map(({ row }) => parseRow(row as Uint8Array));
    const revisions = rows.flatMap((row) => (row.kind === 'entry' ? row.entry.revision : []));
    const all = [...states.map(({ revision }) => Number(revision)), ...revisions];
    const purged = await this.#meta.read((reader) => purgedAmong(reader, this.one.space, all));
    for (const row of states)
      if (!purged.has(Number(row['revision']))) check(text(row['manifest']), [String(row['pool'])]);
    for (const row of rows)
      if (row.kind === 'entry' && row.entry.content && !purged.has(row.entry.revision))
        check(row.entry.content.manifestId, null);
    for (const { operation } of await this.#rows('select operation from hold_operation')) {
      const { content } = JSON.parse(String(operation)) as { content?: { manifestId: string } | null };
      if (content) check(content.manifestId, null);
    }
    return live;
  }

  /** How many copies there are of blocks that this world sealed, by pool. */
  async copies(): Promise<Record<string, number>> {
    const ids = [...this.blocks];
    const counts: Record<string, number> = {};
    for (const { pool, store } of this.rig.nodes)
      counts[pool] = (counts[pool] ?? 0) + (await store.has(ids, never)).filter(Boolean).length;
    return counts;
  }
}
