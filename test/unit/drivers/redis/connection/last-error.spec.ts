import { describe, expect, it } from 'vitest';
import { SystemClock, systemRandom } from '../../../../../lib/core/clock.js';
import { planConnection } from '../../../../../lib/drivers/redis/connection/connection-options.js';
import { LastError } from '../../../../../lib/drivers/redis/connection/last-error.js';

describe('the last error of a server that is not connected', () => {
  it.each([
    "Stream isn't writeable and enableOfflineQueue options is false",
    'Connection is closed.',
    'None of startup nodes is available',
    // ioredis 5 says it of its own AUTH, after the error that ended the connection.
    'Reached the max retries per request limit (which is 0). Refer to "maxRetriesPerRequest" option for details.',
  ])('is not hidden by what tells nothing: %s', (text) => {
    const last = new LastError(
      'localhost:6379',
      planConnection({ url: 'redis://localhost' }, new SystemClock(), systemRandom),
    );
    last.note(new Error('connect ECONNREFUSED'));
    last.note(new Error(text));
    expect(last.unreachable()).toMatchObject({ message: 'Redis at localhost:6379: connect ECONNREFUSED', sent: false });
  });
});
