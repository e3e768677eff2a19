/** The log is cut and its bits flip, closer together than the unit tests have time for. */
import { test } from 'node:test';
import { cutEverywhere, flipBits } from '../src/blocks/disk/damage.contract.ts';

test('the log is cut at every byte', () => cutEverywhere({ everyBytes: 1 }));

for (const index of [true, false])
  for (const sealed of [true, false])
    test(`bits flip all over ${sealed ? 'a sealed' : 'the open'} segment, ${index ? 'with' : 'without'} its index`, () =>
      flipBits({ index, sealed, everyBytes: 5 }));
