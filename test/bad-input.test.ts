/** Wrong use, hostile requests, directories that are not what they should be: typed errors, exit codes, nothing changed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, writeFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { addDevice, startCluster, treeOf, untilInSync, type Status } from './cluster.ts';
import { atEnd, bin, freePorts, run, runJson, runUnread, scratch, until } from './holdfast.ts';

test('the command line refuses wrong use with exit 2, one line, and the nearest match', async (context) => {
  const directory = scratch(context);
  const at = { home: join(directory, 'home'), cwd: directory };
  const typo = await run(['fetsch'], at);
  assert.equal(typo.code, 2);
  assert.match(typo.stderr, /fetch/);
  assert.equal((await run(['up', '--prot', '1'], at)).code, 2);
  assert.equal((await run(['up', '--port', 'many'], at)).code, 2);
  assert.equal(
    (await run(['up', 'data/inside', '--data', 'data'], at)).code,
    2,
    'the folder may not lie in the data directory',
  );
  assert.equal((await run(['up', '.', '--data', './data'], at)).code, 2, 'nor the data directory in the folder');
  assert.equal((await run(['up', '/'], at)).code, 2);
  assert.equal((await run(['join', 'https://127.0.0.1:1/join#nonsense', 'x'], at)).code, 2);
  const unlinked = await run(['fetch'], at);
  assert.equal(unlinked.code, 4);
  assert.equal(unlinked.stderr.trim().split('\n').length, 1);
  assert.equal((await run(['--help'], at)).code, 0);
  assert.equal((await run(['rules', 'add', '--help'], at)).code, 0);
});

test('whoever reads may leave before the end: no command fails, or says anything of that', async (context) => {
  const { owner } = await startCluster(context);
  for (const command of [['status'], ['nodes', '--json'], ['--help'], ['rules', 'list']])
    assert.deepEqual(await runUnread(command, owner), { code: 0, stderr: '' }, command.join(' '));
});

test('what a command says does not fit on the disk: one line, and not the exit code of success', {
  skip: existsSync('/dev/full') ? false : 'no device that is always full',
}, async (context) => {
  const directory = scratch(context);
  const full = openSync('/dev/full', 'w');
  atEnd(context, () => closeSync(full));
  const ran = spawnSync(bin, ['--help'], { cwd: directory, stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
  assert.equal(ran.status, 7, ran.stderr);
  assert.match(ran.stderr, /^holdfast: .*could not be written.*no space.*\n$/i);
});

test('a port in use, a directory in use, of another cluster, or of a newer version: refused, nothing changed', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const [port, a, b, c, d] = (await freePorts(5)) as [number, number, number, number, number];
  const ports = ['--port', String(port), '--node-ports', [a, b, c, d].join(',')];
  const other = { home: join(cluster.directory, 'home-other'), cwd: cluster.directory };
  const busy = await run(['up', '--data', cluster.data, ...ports], other);
  assert.equal(busy.code, 5, busy.stderr);
  assert.match(busy.stderr, /in use/);

  const blocker = createServer().listen(port, '127.0.0.1');
  atEnd(context, () => void blocker.close());
  const taken = await run(['up', '--data', join(cluster.directory, 'data-2'), ...ports], other);
  assert.equal(taken.code, 6, taken.stderr);
  assert.match(taken.stderr, new RegExp(String(port)));
  await new Promise((resolve) => blocker.close(resolve));

  const silent = await run(['up', ...ports], { ...cluster.owner, cwd: join(cluster.directory), env: {} });
  assert.notEqual(silent.code, 0, "here ./data is the running cluster's");
  mkdirSync(join(cluster.directory, 'elsewhere'));
  const second = await run(['up', ...ports], { ...cluster.owner, cwd: join(cluster.directory, 'elsewhere') });
  assert.equal(second.code, 2, second.stderr);
  assert.match(second.stderr, new RegExp(cluster.data), 'it names the cluster that it knows');

  await cluster.up.stop();
  // A node's directory that belongs to another cluster.
  const nodeFile = join(cluster.data, 'nodes/txt/node.json');
  const text = readFileSync(nodeFile, 'utf8');
  const identity = JSON.parse(text) as Record<string, unknown>;
  writeFileSync(nodeFile, JSON.stringify({ ...identity, cluster: '0'.repeat(32) }));
  const args = ['up', '--data', cluster.data, ...ports];
  const foreign = await run(args, cluster.owner);
  assert.equal(foreign.code, 7, foreign.stderr);
  writeFileSync(nodeFile, JSON.stringify({ ...identity, version: 999 }));
  const newerNode = await run(args, cluster.owner);
  assert.equal(newerNode.code, 7, newerNode.stderr);
  assert.match(newerNode.stderr, /newer/);
  writeFileSync(nodeFile, text);
  // A database that a newer version wrote.
  const path = join(cluster.data, 'server/meta.db');
  const database = new DatabaseSync(path);
  const versionOf = (opened: DatabaseSync) =>
    opened.prepare('SELECT schema_version FROM cluster').get()?.['schema_version'];
  const version = versionOf(database) as number;
  database.exec('UPDATE cluster SET schema_version = 999999');
  database.close();
  const newer = await run(args, cluster.owner);
  assert.equal(newer.code, 7, newer.stderr);
  assert.match(newer.stderr, /newer/);
  const repaired = new DatabaseSync(path);
  assert.equal(versionOf(repaired), 999_999, 'it was not touched');
  repaired.exec(`UPDATE cluster SET schema_version = ${version}`);
  repaired.close();
  await cluster.restart();
  await untilInSync(cluster.owner);
});

test('a folder inside a linked one, around it, or a copy of it is refused, and nothing is changed', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const folder = join(cluster.directory, 'linked', 'drive');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'kept'), 'kept');
  const device = { home: join(cluster.directory, 'home-device'), cwd: cluster.directory };
  const invite = async () => (await runJson<{ invite: string }>(['invite'], cluster.owner)).invite;
  assert.equal((await run(['join', await invite(), folder, '--once'], device)).code, 0);
  const copy = join(cluster.directory, 'copy');
  cpSync(folder, copy, { recursive: true });
  for (const [path, says] of [
    [join(folder, 'inside'), /contain one another/],
    [join(cluster.directory, 'linked'), /contain one another/],
    [copy, /is a copy of the linked folder/],
  ] as const) {
    const refused = await run(['join', await invite(), path, '--once'], device);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, says);
  }
  assert.deepEqual([...treeOf(folder).keys()], ['kept']);
  assert.deepEqual([...treeOf(copy).keys()], ['kept']);
});

test('malformed, oversized and unauthenticated requests get typed answers and change nothing', async (context) => {
  const cluster = await startCluster(context);
  const url = String(cluster.up.ready['url']);
  const type = 'application/vnd.holdfast.message';
  const frame = (body: unknown): Buffer => {
    const json = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const head = Buffer.from([0x48, 0x46, 0x50, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(json.length, 4);
    return Buffer.concat([head, json]);
  };
  const post = async (
    path: string,
    body: Buffer,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; code: unknown }> => {
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      body: new Uint8Array(body),
      headers: { 'content-type': type, ...headers },
    });
    assert.match(answer.headers.get('content-type') ?? '', answer.ok ? /holdfast/ : /application\/problem\+json/, path);
    return { status: answer.status, code: answer.ok ? undefined : ((await answer.json()) as { code: unknown }).code };
  };
  assert.deepEqual(await post('/v1/spaces', frame({})), { status: 401, code: 'unauthenticated' });
  assert.deepEqual(await post('/v1/spaces', frame({}), { authorization: 'Bearer hfd1.nonsense' }), {
    status: 401,
    code: 'unauthenticated',
  });
  assert.equal(
    (await post('/v1/spaces', frame({}), { authorization: `Bearer hfd1.${'A'.repeat(11)}.${'A'.repeat(43)}` })).status,
    401,
  );
  assert.deepEqual(await post('/v1/nothing', frame({})), { status: 404, code: 'unknown_route' });
  assert.deepEqual(await post('/v1/hello', frame('{"protocol":')), { status: 400, code: 'invalid_json' });
  assert.deepEqual(await post('/v1/hello', frame({ protocol: { min: 1, max: 1 }, more: 1 })), {
    status: 400,
    code: 'invalid_field',
  });
  assert.deepEqual(await post('/v1/hello', frame({ protocol: { min: -1, max: 1 } })), {
    status: 400,
    code: 'invalid_field',
  });
  assert.deepEqual(await post('/v1/hello', frame({ protocol: { min: 2, max: 9 } })), {
    status: 426,
    code: 'upgrade_required',
  });
  assert.deepEqual(await post('/v1/hello', Buffer.from('short')), { status: 400, code: 'short_body' });
  assert.deepEqual(
    await post('/v1/hello', Buffer.concat([frame({ protocol: { min: 1, max: 1 } }), Buffer.from('x')])),
    { status: 400, code: 'invalid_json' },
  );
  assert.deepEqual(await post('/v1/hello', frame({}), { 'content-type': 'text/plain' }), {
    status: 415,
    code: 'unsupported_media',
  });
  assert.equal((await post('/v1/hello', Buffer.alloc(41 * 1024 * 1024))).status, 413);
  assert.equal((await fetch(`${url}/v1/hello`)).status, 405);
  assert.equal((await fetch(`${url}/no/such/page`)).status, 404);
  assert.equal((await fetch(`${url}/${'x'.repeat(20_000)}`)).status >= 400, true);
  // Nodes speak TLS only, and to their server only.
  for (const port of cluster.nodePorts) await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
  await untilInSync(cluster.owner);
});

test('names that no entry may have are reported, and never synced, nor read as deleted', async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  writeFileSync(Buffer.concat([Buffer.from(`${cluster.folder}/bad-`), Buffer.from([0xff, 0xfe])]), 'not UTF-8');
  writeFileSync(join(cluster.folder, 'line\nbreak.txt'), 'a control character');
  writeFileSync(join(cluster.folder, `${'ü'.repeat(127)}.`), '255 bytes are a name');
  writeFileSync(join(cluster.folder, 'CON'), 'reserved elsewhere, a name here');
  await until(
    'what can cross has crossed',
    () => treeOf(desk.folder),
    (tree) => tree.has('CON') && tree.has(`${'ü'.repeat(127)}.`),
  );
  const status = await until(
    'the problems are named',
    () => runJson<Status>(['status'], cluster.owner),
    (seen) => seen.problems.filter((problem) => problem.code === 'invalid_name').length >= 2,
  );
  assert.ok(
    status.problems.every((problem) => !/\n/.test(problem.path)),
    'names are shown escaped',
  );
  assert.equal(treeOf(desk.folder).size, 2);
});
