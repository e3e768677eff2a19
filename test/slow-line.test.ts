/** A device behind a line of 64 kbit/s: what takes minutes to cross arrives, once, and nobody gives up meanwhile. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { untilInSync, type Listed } from './cluster.ts';
import { atEnd, freePorts, run, runJson, scratch, service, type Surroundings } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

const ip = (...args: readonly string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

/** A namespace of its own, reached from here by a line of that rate in both directions. Answers with the address of this end. */
function slowLine(context: TestContext, name: string, rate: string): string {
  const net = `10.${150 + (process.pid % 100)}.${process.pid % 250}`;
  ip('netns', 'add', name);
  atEnd(context, () => ip('netns', 'del', name));
  ip('link', 'add', `${name}-a`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('addr', 'add', `${net}.1/24`, 'dev', `${name}-a`);
  ip('link', 'set', `${name}-a`, 'up');
  ip('-n', name, 'addr', 'add', `${net}.2/24`, 'dev', 'eth0');
  for (const device of ['lo', 'eth0']) ip('-n', name, 'link', 'set', device, 'up');
  const shape = ['root', 'tbf', 'rate', rate, 'burst', '4kb', 'latency', '400ms'];
  execFileSync('tc', ['qdisc', 'add', 'dev', `${name}-a`, ...shape]);
  execFileSync('ip', ['netns', 'exec', name, 'tc', 'qdisc', 'add', 'dev', 'eth0', ...shape]);
  return `${net}.1`;
}

/** 1,500,000 take eight minutes: longer than any answer is waited for. */
const BYTES = Number(process.env['SLOW_BYTES'] ?? 100_000);

test('a device behind a line of 64 kbit/s', { timeout: 900_000 }, async (context) => {
  if (lacksRoot(context, 'a network namespace')) return;
  const name = `hfs${process.pid}`;
  const address = slowLine(context, name, '64kbit');
  const directory = scratch(context);
  const [port, nodePort] = await freePorts(2);
  const owner: Surroundings = { home: join(directory, 'home'), cwd: directory };
  await service(context, ['server', '--data', 'server', '--listen', address, '--port', String(port)], owner);
  const ticket = (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite;
  await service(
    context,
    ['node', '--data', 'node', '--listen', address, '--port', String(nodePort), '--join', ticket],
    owner,
  );
  const far: Surroundings = {
    home: join(directory, 'home-far'),
    cwd: directory,
    prefix: ['ip', 'netns', 'exec', name],
    env: { HOLDFAST_DEVICE_NAME: 'far' },
  };
  const folder = join(directory, 'drive');
  mkdirSync(folder);
  const { invite } = await runJson<{ invite: string }>(['invite'], owner);
  const device = await service(context, ['join', invite, folder], far);
  const bytes = randomBytes(BYTES);
  const begun = performance.now();
  writeFileSync(join(folder, 'slow.bin'), bytes);
  await untilInSync(far, 600_000);
  context.diagnostic(`up in ${Math.round(performance.now() - begun)} ms`);
  const rows = await runJson<Listed[]>(['fetch'], owner);
  assert.deepEqual(
    rows.map(({ path, size, state }) => ({ path, size, state })),
    [{ path: 'slow.bin', size: BYTES, state: 'stored' }],
  );
  assert.doesNotMatch(device.stderr(), /reach/);
  const fetched = await run(['fetch', 'slow.bin'], far, 600_000);
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.deepEqual(readFileSync(join(directory, 'target_folder/slow.bin')), bytes);
  context.diagnostic(`down after ${Math.round(performance.now() - begun)} ms`);
});
