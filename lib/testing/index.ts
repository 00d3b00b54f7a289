export type { DriverContractOptions } from './bench.js';
export { type ContractCase, driverContract } from './driver-contract.js';
export { ManualClock } from './manual-clock.js';
