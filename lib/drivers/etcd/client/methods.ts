import type { MethodDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { Calls, Streams } from './messages.js';
import { etcdProto } from './proto/etcd-proto.generated.js';

const definitions = fromJSON(etcdProto, {
  longs: Number,
  enums: String,
  defaults: true,
}) as unknown as Record<string, Record<string, MethodDefinition<object, object>>>;

const method = (service: string, name: string): MethodDefinition<object, object> =>
  definitions[`etcdserverpb.${service}`]![name]!;

/** Path and encoding of every method that is used. */
export const methods: Readonly<Record<keyof Calls | keyof Streams, MethodDefinition<object, object>>> = {
  range: method('KV', 'Range'),
  txn: method('KV', 'Txn'),
  leaseGrant: method('Lease', 'LeaseGrant'),
  leaseRevoke: method('Lease', 'LeaseRevoke'),
  leaseTimeToLive: method('Lease', 'LeaseTimeToLive'),
  keepAlive: method('Lease', 'LeaseKeepAlive'),
  watch: method('Watch', 'Watch'),
  authenticate: method('Auth', 'Authenticate'),
  status: method('Maintenance', 'Status'),
};
