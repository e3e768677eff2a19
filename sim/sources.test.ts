import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOfSources, sourcesOf } from './sources.ts';

test('what a seed runs are the roles and the simulator, and nothing of the commands', () => {
  const sources = sourcesOf('sim/worker.ts');
  for (const name of [
    'sim/user.ts',
    'src/client/down.ts',
    'src/core/planner.ts',
    'src/server/commits.ts',
    'src/rescue/rescue.ts',
  ])
    assert.ok(sources.includes(name), name);
  assert.deepEqual(
    sources.filter((name) => name.startsWith('src/cli/') || name.includes('.test.') || name === 'sim/results.ts'),
    [],
  );
  assert.equal(hashOfSources('sim/worker.ts'), hashOfSources('sim/worker.ts'));
  assert.notEqual(hashOfSources('sim/worker.ts'), hashOfSources('sim/seed.ts'), 'one more source is another code');
});
