/** A server, a node and a device whose disks refuse every fsync for a while: nothing is acknowledged on the strength of one that failed, and nobody ends. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { untilIdentical, untilInSync, type Listed, type Status } from './cluster.ts';
import { atEnd, run, runJson, scratch, until, type Service } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';
import { startRoles, restart, type Role } from './proof/roles.ts';

/** Resolves once every fsync of the process fails, with what ends that. */
async function failSyncs(context: TestContext, { process: { pid } }: Service): Promise<() => Promise<void>> {
  const calls = 'fsync,fdatasync,sync_file_range,syncfs';
  const tracer = spawn('strace', ['-f', '-p', String(pid), '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  tracer.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => tracer.once('close', () => resolve()));
  const stop = async (): Promise<void> => {
    tracer.kill('SIGINT');
    await ended;
  };
  atEnd(context, stop);
  await until(
    'strace is attached',
    () => said,
    (text) => text.includes('attached'),
  );
  return stop;
}

test('while no fsync succeeds nothing is acknowledged; afterwards all is', { timeout: 300_000 }, async (context) => {
  if (lacksRoot(context, 'strace of running processes')) return;
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
  } catch {
    return context.skip('skipped: strace is not installed');
  }
  const { all, devices, folders, reader } = await startRoles(context, scratch(context));
  const [a] = folders as [string, string];
  const role = (name: string): Role => all.find((one) => one.name === name) as Role;
  const stored = async (prefix: string) =>
    (await runJson<Listed[]>(['fetch'], reader)).filter(
      ({ path, state }) => path.startsWith(prefix) && state === 'stored',
    );

  for (const name of ['server', 'node others', 'device b']) {
    const victim = role(name);
    const prefix = name.replace(' ', '-');
    const stop = await failSyncs(context, victim.running);
    for (let index = 0; index < 8; index++)
      writeFileSync(join(a, `${prefix}-${index}.bin`), randomBytes(20_000 + index));
    await new Promise((resolve) => setTimeout(resolve, 4000));
    if (name !== 'device b') {
      const { inSync } = JSON.parse((await run(['status', '--json'], role('device a').at)).stdout) as Status;
      assert.equal(inSync, false, `${name} could make nothing durable`);
    }
    if (name === 'node others') assert.deepEqual(await stored(prefix), []);
    if (name === 'device b') {
      const { inSync } = JSON.parse((await run(['status', '--json'], victim.at)).stdout) as Status;
      assert.equal(inSync, false, 'what was placed is not safe on its disk');
    }
    await stop();
    assert.equal(victim.running.process.exitCode, null, victim.running.stderr());
    if (name === 'node others') {
      // Three in a row say that the disk is bad: it takes blocks again when somebody has looked after it.
      await until(
        'it is out of service',
        () => runJson<{ pool: string; state: string }[]>(['nodes'], reader),
        (rows) => rows.some(({ state }) => state === 'failed'),
      );
    }
    // What was acknowledged is there also when the process ends without a word.
    await victim.running.kill();
    await restart(context, victim);
    for (const device of devices) await untilInSync(device.at, 60_000);
    await untilIdentical(folders);
    assert.equal((await stored(prefix)).length, 8);
  }
});
