/** Makes a server's index of what a rescue found: with a higher incarnation, a new epoch in every space and a TLS key of its own. */
import { id32Of, type BlockId, type ManifestId, type NodeId, type SpaceId } from '#core/ids.ts';
import { nodesFor, parseLayout, type Layout } from '#core/layout.ts';
import { parseManifestPublic } from '#core/manifest.ts';
import { poolOfNodes } from '#core/pool-name.ts';
import { revokeAllDevices } from '#meta/accounts.ts';
import { allLayouts, allNodes, allPools, type StoredNode } from '#meta/clusters.ts';
import { findContents, putPresence, type Presence } from '#meta/contents.ts';
import { noteMisplaced } from '#meta/entries.ts';
import { contentsAfter } from '#meta/surveying.ts';
import { beginAnew } from '#server/restored-index.ts';
import type { TlsIdentity } from '#world/net.ts';
import type { Random } from '#world/random.ts';
import type { Rescue } from './rescue.ts';
import { allEntries } from './survey.ts';

const CONTENTS_PER_STEP = 200;

export type NewServer = {
  readonly incarnation: number;
  readonly files: number;
  /** Names of storage nodes whose directories were not given: what they should hold by their layouts is taken to be there. */
  readonly absentNodes: readonly string[];
};

/** The rescue's own index becomes the server's; nothing else of the rescue may be asked for afterwards. */
export async function makeServerIndex(rescue: Rescue, random: Random, tlsIdentity: TlsIdentity): Promise<NewServer> {
  const { meta } = rescue.metadata;
  const holders = await Holders.read(rescue);
  for (const { space } of rescue.spaces) {
    await noteSeen(rescue, holders, space);
    await notePlaced(rescue, holders, space);
  }
  await meta.write(async (writer) => {
    await noteMisplaced(writer);
    await revokeAllDevices(writer, rescue.metadata.root.timeMs);
  });
  const tools = { meta, primitives: rescue.tools.primitives, random };
  const incarnation = await beginAnew(tools, rescue.kit, rescue.found.incarnation, tlsIdentity);
  let files = 0;
  for await (const { entry } of rescue.live()) if (entry.kind === 'file') files++;
  return { incarnation, files, absentNodes: holders.absent.map(({ name }) => name) };
}

async function noteSeen(rescue: Rescue, holders: Holders, space: SpaceId): Promise<void> {
  const { meta } = rescue.metadata;
  for (let after: ManifestId | null = null; ; ) {
    rescue.tools.signal.throwIfAborted();
    const page = await meta.read((reader) => contentsAfter(reader, space, after, CONTENTS_PER_STEP));
    const last = page.at(-1);
    if (!last) return;
    const blocks = new Map(page.flatMap(({ bytes }) => blocksOf(bytes)));
    const rows = [...blocks].flatMap(([block, length]) => holders.seen(block, length));
    await meta.write((writer) => putPresence(writer, space, rows));
    after = id32Of(last.manifest);
  }
}

/** By the pools that files lie in, where who holds a block does not say all of it. */
async function notePlaced(rescue: Rescue, holders: Holders, space: SpaceId): Promise<void> {
  const { meta } = rescue.metadata;
  for await (const { content, pool } of allEntries(meta, space)) {
    if (!content || pool === null || !holders.hasMoreToSay(pool)) continue;
    rescue.tools.signal.throwIfAborted();
    const { manifestId } = content;
    const stored = (await meta.read((reader) => findContents(reader, space, [manifestId]))).get(manifestId);
    const blocks = new Map(stored ? blocksOf(stored.bytes) : []);
    const rows = [...blocks].flatMap(([block, length]) => holders.placed(block, length, pool));
    if (rows.length > 0) await meta.write((writer) => putPresence(writer, space, rows));
  }
}

function blocksOf(manifest: Uint8Array): readonly (readonly [BlockId, number])[] {
  return (parseManifestPublic(manifest)?.blocks ?? []).map(({ id, storedLength }) => [id, storedLength] as const);
}

/** Who holds a block: by their own logs where these were read, by the layout where they were not. */
class Holders {
  readonly #rescue: Rescue;
  readonly #nodes: ReadonlyMap<NodeId, StoredNode>;
  readonly #copies: ReadonlyMap<string, number>;
  readonly #layouts: ReadonlyMap<string, Layout>;
  /** Nodes of which nothing was given. */
  readonly absent: readonly StoredNode[];

  static async read(rescue: Rescue): Promise<Holders> {
    return rescue.metadata.meta.read(async (reader) => {
      const layouts = new Map<string, Layout>();
      for (const { pool, number, nodes, table } of await allLayouts(reader)) {
        const layout = parseLayout(number, nodes, table);
        if (layout && !layouts.has(pool)) layouts.set(pool, layout);
      }
      return new Holders(rescue, await allNodes(reader), await allPools(reader), layouts);
    });
  }

  private constructor(
    rescue: Rescue,
    nodes: readonly StoredNode[],
    pools: readonly { readonly pool: string; readonly copies: number }[],
    layouts: ReadonlyMap<string, Layout>,
  ) {
    this.#rescue = rescue;
    this.#nodes = new Map(nodes.map((node) => [node.node, node]));
    this.#copies = new Map(pools.map(({ pool, copies }) => [pool, copies]));
    this.#layouts = layouts;
    const seen = rescue.blocks.nodes();
    const counts = ({ standing }: StoredNode) => standing === 'in' || standing === 'draining';
    this.absent = nodes.filter((node) => counts(node) && !seen.has(node.node));
  }

  /** Where the block was seen, by the pools that the nodes belong to. Nowhere, and there is no row: a device that still has the file is asked for it again. */
  seen(block: BlockId, length: number): readonly Presence[] {
    const byPool = new Map<string, number[]>();
    for (const id of this.#rescue.blocks.holders(block)) {
      const node = this.#nodes.get(id);
      // A directory of a node that the cluster had removed holds bytes, but serves nobody.
      if (node && node.standing !== 'removed') byPool.set(node.pool, [...(byPool.get(node.pool) ?? []), node.number]);
    }
    return [...byPool].map(([pool, holders]) => this.#row(block, length, pool, holders));
  }

  /** Whether `placed` tells of any block in that pool what `seen` does not. */
  hasMoreToSay(pool: string): boolean {
    return this.absent.length > 0 || pool !== poolOfNodes(pool);
  }

  /**
   * Of a pool on another's nodes where the block was seen; of any, if it was seen nowhere, which of its nodes that were not given are to have it: as
   * if those were switched off for now.
   */
  placed(block: BlockId, length: number, pool: string): readonly Presence[] {
    if (this.#rescue.blocks.has(block))
      return this.seen(block, length).flatMap((row) =>
        row.pool !== pool && row.pool === poolOfNodes(pool) ? [this.#row(block, length, pool, row.holders)] : [],
      );
    const layout = this.#layouts.get(pool);
    if (!layout) return [];
    const named = nodesFor(layout, block).slice(0, this.#copies.get(pool) ?? 1);
    const holders = this.absent.filter(({ node }) => named.includes(node)).map(({ number }) => number);
    return holders.length === 0 ? [] : [this.#row(block, length, pool, holders)];
  }

  #row(block: BlockId, length: number, pool: string, holders: readonly number[]): Presence {
    return { block, pool, length, holders, owed: Math.max(0, (this.#copies.get(pool) ?? 1) - holders.length) };
  }
}
