import { directPeer } from './direct-peer.ts';
import { peerContract } from './peer.contract.ts';

peerContract('direct', async (handler, credential) => {
  const address = 'here';
  const peer = directPeer(
    handler,
    credential === undefined ? { kind: 'anonymous', address } : { kind: 'bearer', token: credential, address },
  );
  return { peer, end: () => peer.close() };
});
