const WRITE = `
local token, highest = tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if ARGV[3] == '1' and token < highest then return 0 end
if token > highest then redis.call('HSET', KEYS[1], 'token', ARGV[1]) end
redis.call('HSET', KEYS[1], 'value', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1`;

/**
 * What a lock protects, kept in Redis: refuses a token below the highest seen and logs, in order, each it accepted.
 * Plain JavaScript, so that the processes which the tests start can use it as well.
 */
export class FencedResource {
  #redis;
  #key;
  #log;

  constructor(redis, name) {
    this.#redis = redis;
    this.#key = `{${name}}`;
    this.#log = `{${name}}:log`;
  }

  async write(token, value, fenced = true) {
    return (await this.#redis.eval(WRITE, 2, this.#key, this.#log, token, value, fenced ? 1 : 0)) === 1;
  }

  async log() {
    return (await this.#redis.lrange(this.#log, 0, -1)).map(Number);
  }
}
