// A process that has nothing to do but a driver, to see whether that keeps it alive. argv: driver, its options as JSON.
// Says 'ready' once the first connection succeeded or failed; SIGTERM closes the driver, which it says, too.
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';

const [driverName, options] = process.argv.slice(2);
const drivers = { EtcdDriver, RedisDriver, RedlockDriver };
const driver = new drivers[driverName](JSON.parse(options));
const listener = () => {};
// A listener of signals does not keep a process alive.
process.on('SIGTERM', () => void driver.close(listener).then(() => console.log('closed')));
await driver.connect(listener).catch(() => {});
console.log('ready');
