export { type ContractCase, driverContract, type DriverContractOptions } from './driver-contract.js';
export { ManualClock } from './manual-clock.js';
