/** Carries out what a plan asks of the trees alone. What each action means to them: `core/plan.ts`. */
import { unreachable } from '#core/assert.ts';
import type { EntryId } from '#core/ids.ts';
import { isSpelling } from '#core/name-profile.ts';
import { nameHere, type TreeAction } from '#core/plan.ts';
import { freshId, type Device } from './device.ts';

/** Call inside a transaction. Returns entries that are settled by it, in so far as nothing else of the plan names them. */
export function applyTreeActions(device: Device, actions: readonly TreeAction[]): void {
  for (const action of actions) applyTreeAction(device, action);
}

function applyTreeAction(device: Device, action: TreeAction): void {
  const { trees, random } = device;
  switch (action.kind) {
    case 'agree': {
      const remote = trees.remote(action.entry);
      if (remote) {
        trees.putSynced(remote);
        device.unflushed.note(action.entry);
      } else trees.dropSynced(action.entry);
      return;
    }
    case 'adopt':
      changeId(device, action.found, action.entry);
      return device.selection.keepFound(action.entry);
    case 'renew':
      trees.dropSynced(action.entry);
      return changeId(device, action.entry, freshId<EntryId>(random));
    case 'absent': {
      const remote = trees.remote(action.entry);
      if (remote) trees.putSynced(remote, action.why);
      return;
    }
    case 'withdraw': {
      if (trees.synced(action.entry)) return trees.setPresence(action.entry, 'not_selected');
      const remote = trees.remote(action.entry);
      const local = trees.local(action.entry);
      if (remote && local) trees.putSynced({ ...remote, parent: local.parent, name: local.name }, 'not_selected');
      return;
    }
    case 'forget':
      trees.dropSynced(action.entry);
      device.dirty.add(action.entry, trees.remote(action.entry)?.kind ?? 'file');
      return;
    default:
      return unreachable(action);
  }
}

/**
 * The local row of one id becomes that of another; both ids and the children are dirty. Where that is something of the space, at the same
 * place, it is called what the space calls it, however the disk spells that.
 */
export function changeId(device: Device, from: EntryId, to: EntryId): void {
  const { trees, dirty, unflushed } = device;
  const row = trees.local(from);
  if (!row) return;
  trees.renameLocalId(from, to);
  unflushed.follow(from, to);
  const remote = trees.remote(to);
  const here = nameHere(row);
  const isThere = remote?.parent === row.parent && isSpelling(trees.names, remote.name, here);
  if (isThere && remote.name !== row.name && !row.parked)
    trees.moveLocal(to, row.parent, { name: remote.name, alias: here === remote.name ? null : here });
  dirty.add(from, row.kind);
  dirty.add(to, row.kind);
  for (const child of trees.localChildRows(to)) dirty.add(child.entry, child.kind);
}
