import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { translateDiskError } from './disk-error.ts';

const codes = {
  no_space: ['ENOSPC', 'EDQUOT', 'EFBIG'],
  not_permitted_by_disk: ['EACCES', 'EPERM', 'EROFS'],
  busy: ['EMFILE', 'ENFILE', 'ENOMEM'],
  not_found: ['ENOENT', 'ENOTDIR'],
  disk_failed: ['EIO', 'ENXIO', 'ESTALE'],
};

test('what the system reports has a code of our own: full, not permitted and too much at once are no broken disk', () => {
  for (const [code, errnos] of Object.entries(codes))
    for (const errno of errnos) {
      const error = translateDiskError(Object.assign(new Error(errno), { code: errno, syscall: 'write' }), 'a file');
      assert.ok(error instanceof HoldfastError);
      assert.equal(error.code, code, errno);
    }
  const defect = new TypeError('not of a disk');
  assert.equal(translateDiskError(defect, 'a file'), defect);
});
