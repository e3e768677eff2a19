/** Every place at which a log can be cut or a bit of it flip. */
import { test } from 'node:test';
import { cutEverywhere, flipBits } from '../src/blocks/disk/damage.contract.ts';

test('the log is cut at every byte', () => cutEverywhere({ everyBytes: 1 }));

for (const index of [true, false])
  for (const sealed of [true, false])
    test(`a bit flips in every byte of ${sealed ? 'a sealed' : 'the open'} segment, ${index ? 'with' : 'without'} its index`, () =>
      flipBits({ index, sealed, everyBytes: 1 }));
