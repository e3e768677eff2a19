import { peerContract } from '#protocol/peer.contract.ts';
import { makeNet } from './net.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const net = makeNet({ log: quiet });
const identity = await net.makeTlsIdentity('holdfast test');
const at = { host: '127.0.0.1', port: 0 };

peerContract('http', async (handler, credential) => {
  const listening = await net.listen(at, handler, {});
  const options = credential === undefined ? {} : { credential };
  const peer = net.connect(`http://127.0.0.1:${listening.port}`, { kind: 'loopback' }, options);
  return { peer, end: () => Promise.all([peer.close(), listening.close()]).then(() => {}) };
});

peerContract('https', async (handler, credential) => {
  const listening = await net.listen(at, handler, { identity });
  const options = credential === undefined ? {} : { credential };
  const peer = net.connect(`https://127.0.0.1:${listening.port}`, { kind: 'pinned', pins: [identity.pin] }, options);
  return { peer, end: () => Promise.all([peer.close(), listening.close()]).then(() => {}) };
});
