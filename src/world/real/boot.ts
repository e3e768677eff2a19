/** Which start of the machine this is. */
import { readFileSync } from 'node:fs';

/** Another text after every start of the system. Null where it does not tell. */
export function bootOfThisMachine(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return null;
  }
}
