/** A file system that refuses symlinks, as FAT does: with EPERM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SealKeys } from '#core/keyring.ts';
import { inlineFolder } from '../real/folder/inline.ts';
import { FolderWork } from '../real/folder/work.ts';
import { nodePrimitives } from '../real/primitives.ts';
import { SystemError } from './files/system-error.ts';
import { deviceProfiles, SimFileSystem } from './sim-file-system.ts';

test('a symlink on a file system that has none is refused as that, not as a matter of permission', async () => {
  const nowMs = () => 1_700_000_000_000;
  const machine = new SimFileSystem({ profile: deviceProfiles.fat, nowMs, elapsedMs: nowMs });
  machine.user.makeFolder('/base/root');
  const turns = { step: async <T>(_name: string, effect: () => T) => effect(), sleep: async () => {} };
  const fileSystem = machine.openProcess({ step: turns.step, bytesPerCallMax: Number.MAX_SAFE_INTEGER });
  fileSystem.symlink = () => {
    throw new SystemError('EPERM', 'symlink');
  };
  const work = new FolderWork({
    rootPath: '/base/root',
    primitives: nodePrimitives,
    fileSystem,
    instance: 'process',
    nowMs,
    wait: () => {},
  });
  const folder = inlineFolder(work, turns);
  await folder.claim('ab'.repeat(16));
  const key = { version: 1, key: new Uint8Array(32) };
  const keys: SealKeys = { identityKey: new Uint8Array(32), current: key, versions: [key] };
  const [outcome] = await folder.apply([{ kind: 'make_symlink', path: 'link', target: 'x' }], keys);
  assert.equal(outcome?.kind === 'failed' && outcome.code, 'unsupported_by_disk');
  await folder.close();
});
