import { createHash } from 'node:crypto';

/**
 * Who is told an address, as the kernel knows it: the first eight bytes of the SHA-256 of a workload's name in the inventory, low byte first. The
 * same over plans and restarts, whatever address the workload asks from.
 */
export const holderOf = (agentName: string): bigint =>
  createHash('sha256').update(agentName, 'utf8').digest().readBigUInt64LE(0);
