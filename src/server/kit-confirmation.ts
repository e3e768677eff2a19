/** The use-case `kit-confirm`: a person has shown that their copy of the recovery kit is good. */
import { fromHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { putKitConfirmed } from '#meta/clusters.ts';
import { kitConfirm } from '#protocol/safety.ts';
import { deviceRoute } from './identity.ts';
import type { ServerContext } from './server-context.ts';

export function kitRoutes({ meta, cluster, primitives }: ServerContext) {
  return [
    deviceRoute(kitConfirm, async ({ proof }) => {
      const [shown, expected] = [proof, cluster.vault.kitProof()].map((text) => must(fromHex(text), 'hexadecimal'));
      if (!shown || !expected || !primitives.equalConstantTime(shown, expected))
        throw new HoldfastError('forbidden', 'that is not the recovery kit of this cluster');
      await meta.write(putKitConfirmed);
      return { response: {}, parts: [] };
    }),
  ];
}
