/**
 * Server, storage nodes and devices on hosts of their own: network namespaces joined by a bridge, each role by its own command on its own
 * address, each host's directory hidden from the others; shared is the program alone. Everything between hosts is TLS, pinned; the server's key is replaced midway.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { treeOf, untilIdentical, type Listed } from './cluster.ts';
import { atEnd, run, runJson, scratch, service, until, type Surroundings } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

const HOSTS = ['server', 'nodes', 'laptop', 'desk'] as const;
type Host = (typeof HOSTS)[number];

/** Namespaces that no other test run uses: named after this process. */
function makeNetwork(context: TestContext): Record<Host, string> {
  const tag = `hf${process.pid}`;
  const ip = (...args: readonly string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
  const subnet = `10.${100 + (process.pid % 100)}.${process.pid % 250}`;
  atEnd(context, () => {
    for (const host of HOSTS) execFileSync('ip', ['netns', 'del', `${tag}-${host}`], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'del', `${tag}-switch`], { stdio: 'ignore' });
  });
  ip('netns', 'add', `${tag}-switch`);
  ip('-n', `${tag}-switch`, 'link', 'add', 'bridge0', 'type', 'bridge');
  ip('-n', `${tag}-switch`, 'link', 'set', 'bridge0', 'up');
  const addresses = {} as Record<Host, string>;
  HOSTS.forEach((host, index) => {
    const namespace = `${tag}-${host}`;
    const address = `${subnet}.${index + 1}`;
    ip('netns', 'add', namespace);
    ip(
      '-n',
      `${tag}-switch`,
      'link',
      'add',
      `port${index}`,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      namespace,
    );
    ip('-n', `${tag}-switch`, 'link', 'set', `port${index}`, 'master', 'bridge0', 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    addresses[host] = address;
  });
  return addresses;
}

test('three machines and a fourth: pinned TLS from the first connection, and a new server key midway', {
  timeout: 240_000,
}, async (context) => {
  if (lacksRoot(context, 'a network of namespaces')) return;
  const addresses = makeNetwork(context);
  const directory = scratch(context);
  for (const host of HOSTS) mkdirSync(join(directory, host));
  // `ip netns exec` gives each command a mount namespace of its own: in it the other hosts' directories are empty.
  const hideOthers = (host: Host): string => {
    const others = HOSTS.filter((other) => other !== host).map(
      (other) => `mount -t tmpfs none '${join(directory, other)}'`,
    );
    return `${others.join(' && ')} && exec "$@"`;
  };
  const on = (host: Host): Surroundings => {
    const cwd = join(directory, host);
    return {
      home: join(cwd, 'home'),
      cwd,
      prefix: ['ip', 'netns', 'exec', `hf${process.pid}-${host}`, 'sh', '-c', hideOthers(host), 'sh'],
      env: { HOLDFAST_DEVICE_NAME: host },
    };
  };
  const server = on('server');
  const serverArgs = ['server', '--data', 'data', '--listen', addresses.server];
  const serving = await service(context, serverArgs, server);
  assert.equal(serving.ready['url'], `https://${addresses.server}:12345`);

  for (const [index, pool] of ['mp3', 'txt', 'pdf', 'others'].entries()) {
    const { invite } = await runJson<{ invite: string }>(['invite', '--node'], server);
    await service(
      context,
      [
        'node',
        '--join',
        invite,
        '--pool',
        pool,
        '--data',
        `data-${pool}`,
        '--listen',
        addresses.nodes,
        '--port',
        String(9000 + index),
      ],
      on('nodes'),
    );
  }
  const link = async (host: 'laptop' | 'desk') => {
    const { invite } = await runJson<{ invite: string }>(['invite'], server);
    assert.match(invite, new RegExp(`^https://${addresses.server.replaceAll('.', '\\.')}:12345/join#`));
    const running = await service(context, ['join', invite, 'drive'], on(host));
    return { running, folder: join(on(host).cwd, 'drive') };
  };
  const laptop = await link('laptop');
  writeFileSync(join(laptop.folder, 'song.mp3'), Buffer.alloc(300_000, 'la'));
  writeFileSync(join(laptop.folder, 'notes.txt'), 'notes');
  const desk = await link('desk');
  await until(
    'both arrived',
    () => treeOf(desk.folder).size,
    (size) => size === 2,
    60_000,
  );

  // Nobody answers in plain HTTP, and nobody without a credential gets an answer.
  const curl = (url: string, ...more: string[]): string =>
    execFileSync(
      'ip',
      [
        'netns',
        'exec',
        `hf${process.pid}-desk`,
        'curl',
        '-sk',
        '-m',
        '5',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        ...more,
        url,
      ],
      { encoding: 'utf8' },
    );
  const message = join(directory, 'message');
  writeFileSync(message, Buffer.from('48465001000000020000000' + '07b7d', 'hex'));
  assert.throws(() => curl(`http://${addresses.server}:12345/`));
  assert.equal(
    curl(
      `https://${addresses.server}:12345/v1/spaces`,
      '-X',
      'POST',
      '-H',
      'content-type: application/vnd.holdfast.message',
      '--data-binary',
      `@${message}`,
    ),
    '401',
  );
  assert.equal(
    curl(
      `https://${addresses.nodes}:9001/v1/node-get`,
      '-X',
      'POST',
      '-H',
      'content-type: application/vnd.holdfast.message',
      '--data-binary',
      `@${message}`,
    ),
    '401',
  );

  // The server's TLS key is replaced: nodes and devices follow the identity's signature, new connections show the new key.
  const pinBefore = pinOf(addresses.server);
  const rotated = await runJson<{ pin: string }>(['tls', 'rotate'], server);
  assert.notEqual(rotated.pin, pinBefore);
  writeFileSync(join(desk.folder, 'after.pdf'), 'after the new key');
  await until('it crossed after the rotation', () => existsSync(join(laptop.folder, 'after.pdf')), Boolean, 60_000);
  assert.equal(await serving.stop(), 0);
  await service(context, serverArgs, server);
  assert.equal(pinOf(addresses.server), rotated.pin, 'a restarted server shows the new key');
  writeFileSync(join(laptop.folder, 'again.bin'), 'after a restart');
  await until('it crossed after the restart', () => existsSync(join(desk.folder, 'again.bin')), Boolean, 90_000);
  const tree = await untilIdentical([laptop.folder, desk.folder]);
  assert.deepEqual([...tree.keys()].sort(), ['after.pdf', 'again.bin', 'notes.txt', 'song.mp3']);
  const rows = await runJson<Listed[]>(['fetch'], on('desk'));
  assert.deepEqual(Object.fromEntries(rows.map((row) => [row.path, row.pool])), {
    'after.pdf': 'pdf',
    'again.bin': 'others',
    'notes.txt': 'txt',
    'song.mp3': 'mp3',
  });
  const fetched = await run(['fetch', 'song.mp3'], on('desk'));
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.deepEqual(readFileSync(join(on('desk').cwd, 'target_folder/song.mp3')), Buffer.alloc(300_000, 'la'));
});

/** SHA-256 of the key that the server shows, as openssl sees it from the server's own host. */
function pinOf(address: string): string {
  const script = `openssl s_client -connect ${address}:12345 </dev/null 2>/dev/null | openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1`;
  return execFileSync('ip', ['netns', 'exec', `hf${process.pid}-server`, 'sh', '-c', script], {
    encoding: 'utf8',
  }).trim();
}
