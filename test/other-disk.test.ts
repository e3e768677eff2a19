/** The folder's door on disks that are not like Linux's own. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { SealKeys } from '#core/keyring.ts';
import type { DiskProfile, Folder, ListedEntry } from '#world/folder.ts';
import { openFolder } from '#world/real/folder.ts';
import { mountOther, type otherDisks } from './other-disk.ts';
import { lacksRoot } from './privilege.ts';

const key = new Uint8Array(32);
const KEYS: SealKeys = { identityKey: key, current: { version: 1, key }, versions: [{ version: 1, key }] };

async function onDisk(
  context: TestContext,
  kind: keyof typeof otherDisks | null,
  work: (folder: Folder, root: string) => Promise<void>,
): Promise<void> {
  if (kind && lacksRoot(context, `mounting a disk of ${kind}`)) return;
  const base = mkdtempSync(join(tmpdir(), 'holdfast-disk-'));
  const root = join(base, 'root');
  mkdirSync(root);
  const unmount = kind ? mountOther(kind, root) : () => {};
  const folder = openFolder(root);
  try {
    await folder.claim('ab'.repeat(16));
    await work(folder, root);
  } finally {
    await folder.close();
    unmount();
    rmSync(base, { recursive: true });
  }
}

const PROFILES: readonly (readonly [keyof typeof otherDisks | null, DiskProfile])[] = [
  [null, { letterCase: 'distinct', forms: 'distinct', refuses: 'nothing' }],
  ['exfat', { letterCase: 'kept', forms: 'distinct', refuses: 'windows', lacksExec: true }],
  ['exfatExec', { letterCase: 'kept', forms: 'distinct', refuses: 'windows', lacksExec: true }],
  ['ntfs', { letterCase: 'changed', forms: 'distinct', refuses: 'windows', lacksExec: true }],
];

for (const [kind, profile] of PROFILES) {
  const title = kind ?? 'an ordinary disk';
  test(`${title}: what it makes of names is measured, and nothing is left of that`, (context) =>
    onDisk(context, kind, async (folder, root) => {
      assert.deepEqual(await folder.names(), profile);
      assert.deepEqual(readdirSync(join(root, '.holdfast/tmp')), []);
    }));

  test(`${title}: a look answers with the name that is listed`, (context) =>
    onDisk(context, kind, async (folder, root) => {
      await folder.names();
      mkdirSync(join(root, 'in'));
      writeFileSync(join(root, 'in/Name'), '');
      const seen = await folder.look(['in/Name', 'in/NAME', 'in/none']);
      const listed = readdirSync(join(root, 'in'))[0];
      const names = seen.map((one) => one && 'name' in one && one.name);
      assert.deepEqual(names, [listed, profile.letterCase === 'distinct' ? null : listed, null]);
    }));

  test(`${title}: a change of letter case is a move, of files and of folders`, (context) =>
    onDisk(context, kind, async (folder, root) => {
      await folder.names();
      writeFileSync(join(root, 'file'), 'text');
      mkdirSync(join(root, 'dir'));
      writeFileSync(join(root, 'dir/in'), 'deep');
      const before = (await folder.look(['file', 'dir'])) as ListedEntry[];
      const steps = before.map(
        ({ name, stat }) => ({ kind: 'move', from: name, expect: stat, to: name.toUpperCase() }) as const,
      );
      const outcomes = await folder.apply(steps, KEYS);
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ['done', 'done'],
      );
      const shown = profile.letterCase === 'changed' ? ['dir', 'file'] : ['DIR', 'FILE'];
      assert.deepEqual(readdirSync(root).sort(), ['.holdfast', ...shown]);
      assert.deepEqual(readdirSync(join(root, shown[0]!)), ['in']);
    }));

  if (profile.letterCase === 'distinct') continue;
  test(`${title}: no move puts one thing over another that is called almost like it`, (context) =>
    onDisk(context, kind, async (folder, root) => {
      await folder.names();
      writeFileSync(join(root, 'one'), 'one');
      writeFileSync(join(root, 'two'), 'two');
      const [stat] = (await folder.look(['one'])) as ListedEntry[];
      const [outcome] = await folder.apply([{ kind: 'move', from: 'one', expect: stat!.stat, to: 'TWO' }], KEYS);
      assert.equal(outcome?.kind, 'stale');
      assert.deepEqual(readdirSync(root).sort(), ['.holdfast', 'one', 'two']);
    }));

  // The other one numbers an inode for each spelling: there only the planner keeps everything away from it.
  if (kind !== 'ntfs') continue;
  test(`${title}: the folder’s own directory is out of reach under every spelling, however often it is asked for`, (context) =>
    onDisk(context, kind, async (folder) => {
      await folder.names();
      const seen = await folder.look(['.HOLDFAST/root-id', '.Holdfast/root-id', '.HOLDFAST/root-id']);
      assert.deepEqual(
        seen.map((one) => one && 'code' in one && one.code),
        ['invalid_name', 'invalid_name', 'invalid_name'],
      );
    }));
}
