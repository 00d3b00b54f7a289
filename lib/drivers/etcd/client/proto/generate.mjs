// Turns etcd.proto into etcd-proto.generated.ts, so that builds and bundlers need no file at run time.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// The parser that @grpc/proto-loader itself uses.
const protobuf = createRequire(require.resolve('@grpc/proto-loader'))('protobufjs');

const folder = new URL('./', import.meta.url);
const { root } = protobuf.parse(readFileSync(new URL('etcd.proto', folder), 'utf8'), { keepCase: false });
writeFileSync(
  new URL('etcd-proto.generated.ts', folder),
  `// Generated from etcd.proto beside it.\nexport const etcdProto: object = ${JSON.stringify(root.toJSON(), null, 2)};\n`,
);
