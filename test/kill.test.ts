/**
 * `kill -9` of any process at any moment loses no acknowledged file: real processes under load, killed at random. A ledger outside the
 * system notes what `fetch` listed as stored, with its hash; at the end every entry of it can be fetched with those bytes, and all folders are identical.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { treeOf, untilIdentical, type Listed } from './cluster.ts';
import { freePorts, run, runJson, scratch, service, until, type Service, type Surroundings } from './holdfast.ts';

const KILLS = Number(process.env['KILLS'] ?? 50);
/** Printed, so that a failing run's choices can be repeated; the moments at which processes die cannot. */
const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32BE());

/** mulberry32: a small generator is enough to choose victims and files. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

type Role = { readonly name: string; readonly args: readonly string[]; readonly at: Surroundings; running: Service };

async function startRoles(
  context: TestContext,
): Promise<{ roles: Role[]; folders: readonly string[]; reader: Surroundings }> {
  const directory = scratch(context);
  const [port, othersPort, txtPort] = await freePorts(3);
  const at = (name: string): Surroundings => ({
    home: join(directory, `home-${name}`),
    cwd: directory,
    env: { HOLDFAST_DEVICE_NAME: name },
  });
  const owner = at('owner');
  const serverArgs = ['server', '--data', join(directory, 'server'), '--port', String(port)];
  const roles: Role[] = [
    { name: 'server', args: serverArgs, at: owner, running: await service(context, serverArgs, owner) },
  ];
  for (const [pool, nodePort] of [
    ['others', othersPort],
    ['txt', txtPort],
  ] as const) {
    const { invite } = await runJson<{ invite: string }>(['invite', '--node'], owner);
    const args = ['node', '--data', join(directory, `node-${pool}`), '--port', String(nodePort)];
    roles.push({
      name: `node ${pool}`,
      args,
      at: owner,
      running: await service(context, [...args, '--join', invite, '--pool', pool], owner),
    });
  }
  const folders: string[] = [];
  for (const name of ['a', 'b']) {
    const folder = join(directory, `folder-${name}`);
    const { invite } = await runJson<{ invite: string }>(['invite'], owner);
    roles.push({
      name: `device ${name}`,
      args: ['sync'],
      at: at(name),
      running: await service(context, ['join', invite, folder], at(name)),
    });
    folders.push(folder);
  }
  return { roles, folders, reader: owner };
}

test(`${KILLS} kills at random moments lose no acknowledged file`, async (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const random = generator(SEED);
  const { roles, folders, reader } = await startRoles(context);
  const ledger = new Map<string, string>();
  /** Every content that was ever written at a path: what is found there must be one of them. */
  const written = new Map<string, Set<string>>();
  let files = 0;

  const load = (): void => {
    for (let burst = 1 + Math.floor(random() * 12); burst > 0; burst--) {
      const folder = folders[Math.floor(random() * folders.length)] as string;
      const path = `d${Math.floor(random() * 5)}/f${files++}${random() < 0.3 ? '.txt' : '.bin'}`;
      const bytes = randomBytes(random() < 0.05 ? 5_000_000 : Math.floor(random() * 40_000));
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), bytes);
      written.set(path, (written.get(path) ?? new Set()).add(hashOf(bytes)));
    }
  };
  const note = async (): Promise<void> => {
    const ran = await run(['fetch', '--json'], reader);
    if (ran.code !== 0) return; // the server may be the one that was killed
    for (const row of JSON.parse(ran.stdout) as Listed[]) {
      const hashes = written.get(row.path);
      if (row.state === 'stored' && hashes?.size === 1) ledger.set(row.path, [...hashes][0] as string);
    }
  };

  for (let kill = 0; kill < KILLS; kill++) {
    load();
    await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 250)));
    const victim = roles[Math.floor(random() * roles.length)] as Role;
    await victim.running.kill();
    if (kill % 5 === 4) load(); // while one is missing
    victim.running = await service(context, victim.args, victim.at);
    if (kill % 5 === 4) await note();
  }

  await until(
    'every file is listed as stored',
    () => runJson<Listed[]>(['fetch'], reader),
    (rows) => rows.length >= files && rows.every((row) => row.state === 'stored'),
    120_000,
  );
  await note();
  const tree = await untilIdentical(folders, 120_000);
  assert.ok(ledger.size >= files * 0.9, `the ledger is no empty promise: ${ledger.size} of ${files}`);
  for (const [path, hash] of ledger) {
    assert.equal(tree.get(path), hash, `${path} was acknowledged with other bytes`);
  }
  assert.equal(
    [...treeOf(folders[0] as string).values()].filter((value) => value !== 'folder').length,
    files,
    'nothing was invented, no conflict copy, no temporary name',
  );
  const target = join(reader.cwd, 'fetched');
  const sample = [...ledger.keys()].filter(() => random() < 0.2).slice(0, 200);
  const fetched = await run(['fetch', ...sample, '--to', target], reader, 120_000);
  assert.equal(fetched.code, 0, fetched.stderr);
  for (const path of sample) assert.equal(hashOf(readFileSync(join(target, path))), ledger.get(path), path);
});

test('a device killed while it renames and deletes neither brings back nor loses', async (context) => {
  const { roles, folders } = await startRoles(context);
  const [a, b] = folders as [string, string];
  for (let index = 0; index < 120; index++) {
    mkdirSync(join(a, `k${index % 6}`), { recursive: true });
    writeFileSync(join(a, `k${index % 6}/file${index}.txt`), `content ${index}`);
  }
  await until(
    'all arrived',
    () => treeOf(b).size,
    (size) => size === 126,
  );
  const device = roles.find((role) => role.name === 'device a') as Role;
  for (let round = 0; round < 6; round++) {
    renameSync(join(a, `k${round}`), join(a, `r${round}`));
    rmSync(join(a, `r${round}/file${round}.txt`));
    await device.running.kill();
    device.running = await service(context, device.args, device.at);
  }
  await until(
    'the last rename crossed',
    () => treeOf(b),
    (tree) => [0, 1, 2, 3, 4, 5].every((round) => tree.has(`r${round}`) && !tree.has(`k${round}`)),
    60_000,
  );
  const tree = await untilIdentical(folders);
  assert.equal(tree.size, 6 + 120 - 6);
});
