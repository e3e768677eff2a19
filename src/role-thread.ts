/** The entry of a role's thread: loads the one role that it is for, and nothing else. */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '#core/assert.ts';
import { bearerOverPort, servePort } from '#world/real/port.ts';
import type { Gift, Role, RoleData, RoleModule, RoleName } from './role.ts';

const modules: Readonly<Record<RoleName, () => Promise<RoleModule>>> = {
  server: () => import('./role-server.ts'),
  nodes: () => import('./role-nodes.ts'),
  device: () => import('./role-device.ts'),
};

const { role, control } = workerData as RoleData;
let running: Role | null = null;

servePort(
  control,
  async (verb, message) => {
    if (verb === 'start') {
      running = await (await modules[role]()).start(message.body);
      return { body: running.info, parts: [] };
    }
    const started = must(running, 'a role is started before it is asked');
    if (verb === 'close') {
      await started.close();
      return { body: {}, parts: [] };
    }
    return { body: await started.control(verb, message.body), parts: [] };
  },
  bearerOverPort,
);

must(parentPort, 'a role runs on a thread').on('message', (gift: Gift) =>
  must(running, 'a role is started before it gets ports').accept(gift.purpose, gift.port),
);
