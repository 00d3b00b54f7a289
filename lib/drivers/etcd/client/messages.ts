/**
 * The messages of proto/etcd.proto as types. Revisions and lease ids are numbers: revisions stay below 2^53, and this
 * driver chose the ids of all leases that it meets. In answers every field is present.
 */
export interface Header {
  readonly revision: number;
  readonly raftTerm: number;
}

export interface KeyValue {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: string;
  readonly lease: number;
}

export interface KeyRange {
  readonly key: string;
  /** The first key after the range; default: the one key alone. */
  readonly rangeEnd?: string;
}

export interface RangeRequest extends KeyRange {
  readonly limit?: number;
  readonly sortOrder?: 'ASCEND' | 'DESCEND';
  readonly sortTarget?: 'CREATE';
  readonly keysOnly?: boolean;
  readonly maxCreateRevision?: number;
}

export interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  /** The number of keys, whatever the limit. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: string;
  readonly value?: string;
  readonly lease?: number;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export type RequestOp =
  | { readonly requestRange: RangeRequest }
  | { readonly requestPut: PutRequest }
  | { readonly requestDeleteRange: { readonly key: string } };

export interface Compare extends KeyRange {
  readonly result: 'EQUAL';
  readonly target: 'CREATE' | 'MOD' | 'LEASE';
  readonly createRevision?: number;
  readonly modRevision?: number;
  readonly lease?: number;
}

export interface TxnRequest {
  readonly compare?: readonly Compare[];
  readonly success?: readonly RequestOp[];
  readonly failure?: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: Header;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly responseRange?: RangeResponse }[];
}

export interface WatchCreateRequest extends KeyRange {
  readonly startRevision?: number;
  readonly filters?: readonly 'NOPUT'[];
}

export interface WatchResponse {
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly events: readonly { readonly type: 'PUT' | 'DELETE'; readonly kv: KeyValue }[];
}

/** The calls with one request and one answer. */
export interface Calls {
  range: { request: RangeRequest; response: RangeResponse };
  txn: { request: TxnRequest; response: TxnResponse };
  leaseGrant: { request: { TTL: number; ID: number }; response: { TTL: number } };
  leaseRevoke: { request: { ID: number }; response: object };
  /** TTL: the seconds that are left; -1 when the lease is gone. */
  leaseTimeToLive: { request: { ID: number }; response: { TTL: number } };
  authenticate: { request: { name: string; password: string }; response: { token: string } };
  status: { request: object; response: { version: string } };
}

/** The streams of requests and answers. */
export interface Streams {
  keepAlive: { request: { ID: number }; response: { header: Header; ID: number; TTL: number } };
  watch: {
    request:
      | { readonly createRequest: WatchCreateRequest & { readonly watchId: number } }
      | { readonly cancelRequest: { readonly watchId: number } };
    response: WatchResponse;
  };
}
