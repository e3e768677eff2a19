import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../test/holdfast.ts';
import { firstEnded, output, startCommand, type System } from './system.ts';

type Device = { readonly name: string; readonly home: string; readonly id: string; readonly port: number };

/** Two instances that know each other's address: TCP over loopback, no discovery, no relays, no GUI. */
export const syncthing: System = {
  id: 'syncthing',
  title: 'Syncthing',
  version() {
    const version = /v(\d\S*)/.exec(output('syncthing', ['--version']) ?? '')?.[1];
    return version === undefined ? { missing: 'not installed' } : { version };
  },
  async start({ a, b, state }) {
    const ports = await freePorts(2);
    const devices = ['a', 'b'].map((name, index): Device => {
      const home = join(state, name);
      mkdirSync(home);
      // Port probing would only find ports for a configuration that is replaced at once.
      const made = output('syncthing', ['generate', `--home=${home}`, '--no-default-folder', '--skip-port-probing']);
      const id = output('syncthing', [`--home=${home}`, '--device-id'])?.trim();
      if (made === null || !id) throw new Error('syncthing made no configuration');
      return { name, home, id, port: ports[index] as number };
    });
    const started = devices.map(({ name, home }, index) => {
      writeFileSync(join(home, 'config.xml'), configuration(devices, index, index === 0 ? a : b));
      const args = ['serve', `--home=${home}`, '--no-browser', '--no-restart', '--logflags=0'];
      return { name: `device ${name}`, ...startCommand('syncthing', args, { STNOUPGRADE: '1', HOME: home }) };
    });
    return { tell: async () => undefined, trouble: () => firstEnded(started) };
  },
};

/** The shortest time that this version waits after a change; since 1.24 parts of a second are allowed. */
function watchDelay(): string {
  const version = syncthing.version();
  const [major, minor] = 'version' in version ? version.version.split('.').map(Number) : [];
  return (major ?? 1) > 1 || (minor ?? 0) >= 24 ? '0.01' : '1';
}

/**
 * What is not named here stays as Syncthing makes it: among that, an fsync of every file received. Low priority is off,
 * since neither peer is to be nicer than the other.
 */
function configuration(devices: readonly Device[], own: number, folder: string): string {
  const members = devices.map(({ id }) => `<device id="${id}"></device>`).join('');
  const known = devices.map(
    ({ id, name, port }) => `<device id="${id}" name="${name}"><address>tcp://127.0.0.1:${port}</address></device>`,
  );
  return `<configuration version="36">
  <folder id="bench" path="${folder}" type="sendreceive" rescanIntervalS="86400" fsWatcherEnabled="true" fsWatcherDelayS="${watchDelay()}">
    ${members}
    <minDiskFree unit="%">0</minDiskFree>
  </folder>
  ${known.join('\n  ')}
  <gui enabled="false"></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:${devices[own]?.port}</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <announceLANAddresses>false</announceLANAddresses>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <stunKeepaliveStartS>0</stunKeepaliveStartS>
    <reconnectionIntervalS>5</reconnectionIntervalS>
    <startBrowser>false</startBrowser>
    <urAccepted>-1</urAccepted>
    <crashReportingEnabled>false</crashReportingEnabled>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
    <setLowPriority>false</setLowPriority>
    <minHomeDiskFree unit="%">0</minHomeDiskFree>
  </options>
</configuration>
`;
}
