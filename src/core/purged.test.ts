import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isPurgedIn, PURGED_SEQS, purgedChunkOf, withPurged } from './purged.ts';

test('exactly what was put in is in, chunk by chunk, and nothing that was in before goes', () => {
  const seqs = fc.array(fc.oneof(fc.nat(3 * PURGED_SEQS), fc.constantFrom(0, 7, 8, PURGED_SEQS - 1, PURGED_SEQS)));
  fc.assert(
    fc.property(seqs, seqs, (first, second) => {
      const chunks = new Map<number, Uint8Array>();
      for (const some of [first, second])
        for (const [chunk, of] of Map.groupBy(some, purgedChunkOf)) {
          const before = chunks.get(chunk) ?? null;
          const copy = before?.slice();
          chunks.set(chunk, withPurged(before, of));
          assert.deepEqual(before, copy ?? null, 'what was handed in is not changed');
        }
      const all = new Set([...first, ...second]);
      for (const seq of [...all, ...[...all].flatMap((one) => [one + 1, one + 8, one + PURGED_SEQS])]) {
        const bits = chunks.get(purgedChunkOf(seq));
        assert.equal(bits !== undefined && isPurgedIn(bits, seq), all.has(seq), String(seq));
      }
    }),
  );
});
