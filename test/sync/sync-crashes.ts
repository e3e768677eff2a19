/** Kills a device at one point after the other of the same piece of work, until the work is done before any point is reached. */
import assert from 'node:assert/strict';
import { eventually, type Device } from './sync-world.ts';

export type Work = {
  /** Makes the work anew, under names of its own; the device does not run. */
  readonly prepare: (round: number) => Promise<void>;
  /** Right after the kill: what may never be otherwise. */
  readonly atOnce: (round: number, point: string) => void;
  /** After the device was started again, and came to rest. */
  readonly atLast: (round: number, point: string) => Promise<void>;
};

/** Returns the points at which it was killed. */
export async function killAtEveryPoint(device: Device, work: Work): Promise<readonly string[]> {
  const points: string[] = [];
  for (let round = 0; ; round++) {
    assert.ok(round < 100, `the work never ends: ${points.join('; ')}`);
    await work.prepare(round);
    let left = round;
    let point: string | null = null;
    device.gate.killAt = (name) => {
      if (point !== null || left-- > 0) return false;
      point = name;
      return true;
    };
    device.start();
    await eventually(
      () => device.killed || device.client?.status().inSync === true,
      () => ({ round, status: device.client?.status() }),
    );
    delete device.gate.killAt;
    await device.stop();
    if (point === null) return points;
    points.push(point);
    work.atOnce(round, point);
    device.start();
    await work.atLast(round, point);
    await device.stop();
  }
}
