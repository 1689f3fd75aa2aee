import type { webcrypto } from 'node:crypto';

let underWay = 0;

const { subtle } = globalThis.crypto;
// The class's own: Jest gives every test file of a process the same object, which one before may have changed.
const { digest } = Object.getPrototypeOf(subtle) as webcrypto.SubtleCrypto;

/** Counts: what a thread hashes is on no list that Node gives. */
async function countDigest(...question: Parameters<webcrypto.SubtleCrypto['digest']>): Promise<ArrayBuffer> {
  underWay += 1;
  try {
    return await digest.apply(subtle, question);
  } finally {
    underWay -= 1;
  }
}

Object.defineProperty(subtle, 'digest', { value: countDigest, configurable: true });

/** Whether `crypto.subtle.digest` is at work. */
export function isHashUnderWay(): boolean {
  return underWay > 0;
}
