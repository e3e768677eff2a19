/** What devices see of the journal: `pull` and `list`. */
import { must } from '#core/assert.ts';
import type { Cursor } from '#core/entry.ts';
import type { SpaceId } from '#core/ids.ts';
import { chainStart, frameRows } from '#core/journal-row.ts';
import { CommitTree } from '#core/commit-tree.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { entriesWithAncestors, presentRows } from '#meta/entries.ts';
import { chainAt, journalAfter, type StoredSpace } from '#meta/spaces.ts';
import type { Answered } from '#protocol/call.ts';
import { list, pull } from '#protocol/sync.ts';
import type { z } from 'zod';
import { decidedHolds } from './hold-view.ts';
import { checkStillLinked, deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import type { ServerContext } from './server-context.ts';

/** The longest time after which a held pull looks by itself: a commit by another server process, a revoked device. */
const LOOK_MS = 2000;

type Pull = z.infer<typeof pull.request>;
type List = z.infer<typeof list.request>;
type PullAnswer = z.infer<typeof pull.response>;
type SpaceAnswer = PullAnswer['spaces'][number];

export function journalRoutes(context: ServerContext) {
  return [
    deviceRoute(pull, (request, { identity, signal }) => pullOrHold(context, request, identity, signal)),
    deviceRoute(list, (request, { identity }) =>
      context.meta.read(async (reader) => {
        const space = await spaceFor(reader, identity, request.space);
        const page = await nextPage(reader, space.space, request);
        const response = { head: headOf(space), done: page.done, count: page.rows.length };
        return { response, parts: [frameRows(page.rows)] };
      }),
    ),
  ];
}

export function headOf(space: StoredSpace): Cursor {
  return { epoch: space.epoch, seq: space.headSeq, chain: space.headChain };
}

async function pullOrHold(
  context: ServerContext,
  request: Pull,
  identity: DeviceIdentity,
  signal: AbortSignal,
): Promise<Answered<PullAnswer>> {
  const { clock, draining } = context;
  const untilMs = clock.monotonicMs() + request.waitMs;
  for (;;) {
    // Listened for before looked at: what comes in between rings.
    const woken = new AbortController();
    const stop = context.bell.listen(
      request.cursors.map(({ space }) => space),
      () => woken.abort(),
    );
    try {
      const found = await context.meta.read((reader) => look(context, reader, request, identity));
      const leftMs = untilMs - clock.monotonicMs();
      const { spaces, decided } = found.response;
      if (spaces.length > 0 || decided.length > 0 || leftMs <= 0 || signal.aborted || draining.aborted) return found;
      await clock.sleep(Math.min(leftMs, LOOK_MS), AbortSignal.any([woken.signal, signal, draining]));
    } finally {
      stop();
    }
  }
}

async function look(
  context: ServerContext,
  reader: MetaReader,
  request: Pull,
  identity: DeviceIdentity,
): Promise<Answered<PullAnswer>> {
  await checkStillLinked(reader, identity);
  const spaces: SpaceAnswer[] = [];
  const asked: StoredSpace[] = [];
  const parts: Uint8Array[] = [];
  let rowsLeft = request.rowsMax;
  for (const { space: id, cursor, met } of request.cursors) {
    const space = await spaceFor(reader, identity, id);
    asked.push(space);
    const isSame = met === null || (await judgeCursor(context, reader, space, met)) !== 'epoch_changed';
    const reason = isSame ? await judgeCursor(context, reader, space, cursor) : 'epoch_changed';
    if (reason) spaces.push({ kind: 'reset', space: id, reason, head: headOf(space) });
    else if (cursor.seq < space.headSeq && rowsLeft > 0) {
      const rows = await journalAfter(reader, id, cursor.seq, rowsLeft);
      const more = cursor.seq + rows.length < space.headSeq;
      spaces.push({ kind: 'rows', space: id, part: parts.length, count: rows.length, more });
      parts.push(frameRows(rows.map(({ row }) => row)));
      rowsLeft -= rows.length;
    }
  }
  const decided = await decidedHolds(reader, identity, request.holds ?? [], asked);
  return { response: { spaces, decided }, parts };
}

/** Null where the journal continues from the cursor. */
export async function judgeCursor(
  context: ServerContext,
  reader: MetaReader,
  space: StoredSpace,
  cursor: Cursor,
): Promise<'epoch_changed' | 'cursor_expired' | null> {
  if (cursor.epoch !== space.epoch || cursor.seq > space.headSeq) return 'epoch_changed';
  if (cursor.seq < space.horizonSeq) return 'cursor_expired';
  let chain: string;
  if (cursor.seq === space.headSeq) chain = space.headChain;
  else if (cursor.seq === 0) chain = chainStart(context.primitives, space.space, space.epoch);
  else chain = must(await chainAt(reader, space.space, cursor.seq), 'no row from the horizon on is missing');
  // Another chain at a known seq: a database was copied back by hand and has grown since.
  return chain === cursor.chain ? null : 'epoch_changed';
}

/** The next entries: an empty page only where there are none left. */
async function nextPage(reader: MetaReader, space: SpaceId, { after, trashed, limit }: List) {
  for (let from = after; ; ) {
    const page = await presentRows(reader, space, from, limit);
    if (trashed) return { rows: page.map(({ row }) => row), done: page.length < limit };
    const parents = await entriesWithAncestors(
      reader,
      space,
      page.map(({ parent }) => parent),
    );
    const tree = new CommitTree(parents, new Map());
    const rows = page.filter(({ parent }) => tree.place(parent).live).map(({ row }) => row);
    const done = page.length < limit;
    if (rows.length > 0 || done) return { rows, done };
    from = page.at(-1)?.entry ?? null;
  }
}
