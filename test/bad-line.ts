/** A line between a server and a storage node that can fail in one direction alone: what is sent that way waits, and no connection ends. */
import { connect, createServer, type Socket } from 'node:net';
import { atEnd, type Ending } from './holdfast.ts';

export type Direction = 'to the node' | 'from the node';

export class BadLine {
  readonly #flows = new Set<{ readonly from: Socket; readonly direction: Direction }>();
  #cut: Direction | null = null;

  static async open(ending: Ending, port: number, nodePort: number): Promise<BadLine> {
    const line = new BadLine();
    const server = createServer({ allowHalfOpen: true }, (socket) => line.#carry(socket, nodePort));
    await new Promise<void>((resolve, reject) =>
      server.once('error', reject).listen(port, '127.0.0.1', () => resolve()),
    );
    atEnd(ending, () => {
      server.close();
      for (const { from } of line.#flows) from.destroy();
    });
    return line;
  }

  #carry(caller: Socket, nodePort: number): void {
    const node = connect({ port: nodePort, host: '127.0.0.1', allowHalfOpen: true });
    this.#flow(caller, node, 'to the node');
    this.#flow(node, caller, 'from the node');
  }

  #flow(from: Socket, to: Socket, direction: Direction): void {
    const flow = { from, direction };
    this.#flows.add(flow);
    from.on('data', (bytes) => {
      // What was read already when the line was cut is as good as on its other end.
      if (!to.destroyed && !to.write(bytes)) this.#pauseUntilDrained(from, to, direction);
    });
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#flows.delete(flow);
      to.destroy();
    });
    if (this.#cut === direction) from.pause();
  }

  #pauseUntilDrained(from: Socket, to: Socket, direction: Direction): void {
    from.pause();
    to.once('drain', () => {
      if (this.#cut !== direction) from.resume();
    });
  }

  /** Null: both directions carry again, what waited first. */
  cut(direction: Direction | null): void {
    this.#cut = direction;
    for (const { from, direction: way } of this.#flows)
      if (way === direction) from.pause();
      else from.resume();
  }
}
