/** The settings of the sample, from environment variables. */
export interface Settings {
  /** The number of replicas in this process. */
  readonly replicas: number;
  /** The port of the first replica. Each further replica has the next port. With 0 the operating system chooses. */
  readonly port: number;
  /** The Redis server for locks and orders. Without it the replicas share the memory of this process. */
  readonly redisUrl: string | undefined;
  /** The members of an etcd cluster for the locks. Orders are on Redis or in memory all the same. */
  readonly etcdHosts: readonly string[];
}

export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    replicas: wholeNumber(env, 'REPLICAS', 3, 1, 20),
    port: wholeNumber(env, 'PORT', 3000, 0, 65_000),
    redisUrl: env['REDIS_URL'] || undefined,
    etcdHosts: (env['ETCD_HOSTS'] ?? '').split(',').filter(Boolean),
  };
}

function wholeNumber(env: NodeJS.ProcessEnv, name: string, fallback: number, min: number, max: number): number {
  const value = Number(env[name] || fallback);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${name}=${env[name]}: expected a whole number from ${min} to ${max}.`);
}
