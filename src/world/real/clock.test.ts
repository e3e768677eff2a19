import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { realClock } from './clock.ts';
import { realRandom } from './random.ts';

test('a sleep ends by itself, and leaves no listener behind', async () => {
  const { signal } = new AbortController();
  const before = realClock.monotonicMs();
  await realClock.sleep(5, signal);
  assert.ok(realClock.monotonicMs() > before);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a sleep far longer than a timer can be ends when its signal aborts', { timeout: 5000 }, async () => {
  const controller = new AbortController();
  const asleep = realClock.sleep(2 ** 40, controller.signal);
  controller.abort();
  await asleep;
  await realClock.sleep(2 ** 40, controller.signal);
});

test('random bytes own their buffer and differ', () => {
  const bytes = realRandom.bytes(32);
  assert.equal(bytes.buffer.byteLength, 32);
  assert.notDeepEqual(bytes, realRandom.bytes(32));
});
