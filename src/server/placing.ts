/**
 * Judges files by the rules anew where something else than a change of the file itself may have changed where it belongs: the rules, the name or
 * place of a folder above it, its age. In bounded steps; what is still to be done are rows. It moves no bytes: that is the mover's.
 */
import { CommitTree } from '#core/commit-tree.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import { lookAtAges } from '#core/rules.ts';
import { allRules } from '#meta/clusters.ts';
import { entriesWithAncestors, type PooledEntry } from '#meta/entries.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { addFolders, childrenAfter, nextFolder, noteFolder, type QueuedFolder } from '#meta/folder-queues.ts';
import { addPlacingEverywhere, PLACING, placingState, putPlacingState, wantIn } from '#meta/placing.ts';
import { allSpaces, findSpace, lockSpace } from '#meta/spaces.ts';
import { Placement } from './placement.ts';
import type { ServerContext } from './server-context.ts';

const CHILDREN_PER_STEP = 500;
/** How often ages are looked at: they are asked for in days. */
const AGES_MS = 6 * 3_600_000;

export class Placing {
  readonly #context: ServerContext;
  readonly #agesMs: number;

  constructor(context: ServerContext, agesMs: number = AGES_MS) {
    this.#context = context;
    this.#agesMs = agesMs;
  }

  /** Some hundred entries in one transaction. */
  async step(): Promise<'busy' | 'idle'> {
    const { meta } = this.#context;
    if (!(await meta.read((reader) => nextFolder(reader, PLACING))) && !(await this.#areAgesDue())) return 'idle';
    await meta.write(async (writer) => {
      await this.#beginAges(writer);
      for (let left = CHILDREN_PER_STEP; left > 0; ) {
        const folder = await nextFolder(writer, PLACING);
        if (!folder) return;
        left -= await this.#placeSome(writer, folder, left);
      }
    });
    return 'busy';
  }

  async #areAgesDue(): Promise<boolean> {
    return this.#context.meta.read(async (reader) => {
      const { pending, placedMs } = await placingState(reader);
      // Rules that nobody has applied move nothing. A clock that was set back makes it due as well.
      return (
        !pending &&
        Math.abs(this.#context.clock.nowMs() - placedMs) >= this.#agesMs &&
        lookAtAges(await allRules(reader))
      );
    });
  }

  /** Decided again where it is written: another server may have begun it. */
  async #beginAges(writer: MetaWriter): Promise<void> {
    const { pending, placedMs } = await placingState(writer);
    const nowMs = this.#context.clock.nowMs();
    if (pending || Math.abs(nowMs - placedMs) < this.#agesMs || !lookAtAges(await allRules(writer))) return;
    const spaces = await allSpaces(writer);
    await addPlacingEverywhere(
      writer,
      spaces.map(({ space }) => space),
    );
    await putPlacingState(writer, { pending: false, placedMs: nowMs });
  }

  /** Answers how much that was, one at least. */
  async #placeSome(writer: MetaWriter, at: QueuedFolder, limit: number): Promise<number> {
    const space = (await findSpace(writer, at.space)) && (await lockSpace(writer, at.space));
    const above = at.folder === ROOT_ENTRY ? [] : await entriesWithAncestors(writer, at.space, [at.folder]);
    const tree = new CommitTree(above, new Map());
    // What is in the trash keeps its place; a restore brings its folder back here.
    if (!space || !tree.place(at.folder).live) {
      await noteFolder(writer, PLACING, at, null);
      return 1;
    }
    const { children, last } = await childrenAfter(writer, at, limit);
    const placement = await Placement.load(writer, space, this.#context.clock.nowMs());
    const wanted = new Map<string, PooledEntry[]>();
    for (const file of children) {
      if (file.kind !== 'file') continue;
      const { parent, name, content, revisedMs, poolWanted } = file;
      const { pool } = placement.find(tree, { parent, name, size: content?.size ?? 0, revisedMs });
      if (pool !== poolWanted) wanted.set(pool, [...(wanted.get(pool) ?? []), file]);
    }
    for (const [pool, files] of wanted) await wantIn(writer, at.space, files, pool);
    const folders = children.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry);
    await noteFolder(writer, PLACING, at, children.length < limit ? null : last);
    await addFolders(writer, PLACING, at.space, folders);
    return children.length + 1;
  }
}
