/** `holdfast server` and `holdfast node`: one role alone, on a machine of its own. */
import type { Context } from './context.ts';
import { hostname } from 'node:os';
import { usage } from './exit.ts';
import { ownIdentity } from './linking.ts';
import type { Running } from './launcher.ts';
import { dataDirectory, nodeDataDirectory } from './places.ts';
import { serverPlan, type ServerOptions } from './server-options.ts';
import { closeAll, settlingOf, untilEnded } from './up.ts';

export async function serve(context: Context, options: ServerOptions): Promise<void> {
  const data = dataDirectory(options.data, context.home);
  const running: Running[] = [];
  try {
    const server = await context.launcher.startServer(serverPlan(data, options));
    running.push(server, settlingOf(server));
    await ownIdentity(context, server, data);
    context.output.value({
      event: 'ready',
      url: server.url,
      addresses: server.addresses,
      cluster: server.cluster,
      pid: process.pid,
    });
    context.output.line(`The server answers at ${server.url}; its index is in ${data}.`);
    context.output.line('Add a storage node: holdfast invite --node      Add a device: holdfast invite');
    await untilEnded(context, running);
  } finally {
    await closeAll(running);
  }
}

export type NodeOptions = {
  readonly data?: string;
  readonly listen: string;
  readonly port: number;
  readonly join?: string;
  readonly pool?: string;
  readonly site?: string;
  readonly name?: string;
};

export async function node(context: Context, options: NodeOptions): Promise<void> {
  if (options.site !== undefined && options.join === undefined)
    throw usage('a site is named when the node joins; later: holdfast nodes set NODE --site SITE');
  const data = nodeDataDirectory(options.data);
  const running: Running[] = [];
  try {
    const plan = {
      dataDirectory: data,
      host: options.listen,
      port: options.port,
      pool: options.pool ?? null,
      site: options.site ?? null,
      name: options.name ?? hostname(),
      ticket: options.join ?? null,
      cluster: null,
    };
    const nodes = await context.launcher.startNodes([plan], null);
    running.push(nodes);
    for (const started of nodes.nodes) {
      context.output.value({
        event: 'ready',
        node: started.node,
        pool: started.pool,
        port: started.port,
        cluster: started.cluster,
        pid: process.pid,
      });
      context.output.line(
        `The storage node keeps blocks of the pool ${started.pool} in ${data}, and answers its server on port ${started.port}.`,
      );
    }
    await untilEnded(context, running);
  } finally {
    await closeAll(running);
  }
}
