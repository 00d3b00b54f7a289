// A process whose only work is a RedisDriver that connects. argv: its options, as JSON. Closes it on SIGTERM.
import { RedisDriver } from 'nestjs-dist-lock/redis';

const driver = new RedisDriver(JSON.parse(process.argv[2]));
const listener = () => undefined;
process.once('SIGTERM', () => void driver.close(listener).then(() => console.log('closed')));
driver.connect(listener).then(
  () => console.log('connected'),
  (error) => console.log(`failed: ${error.message}`),
);
