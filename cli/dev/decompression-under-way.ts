import type { gunzip as Gunzip } from 'node:zlib';

let underWay = 0;

const zlib = process.getBuiltinModule('node:zlib') as {
  gunzip: typeof Gunzip & { original?: typeof Gunzip };
};
// Jest gives every test file of a process the same module, which one before may have changed.
const gunzip = zlib.gunzip.original ?? zlib.gunzip;

/** Counts: what a thread decompresses is on no list that Node gives. */
function countGunzip(body: Buffer, done: (error: Error | null, text: Buffer) => void): void {
  underWay += 1;
  gunzip(body, (error, text) => {
    underWay -= 1;
    done(error, text);
  });
}

zlib.gunzip = Object.assign(countGunzip as typeof Gunzip, { original: gunzip });

/** Whether `gunzip` is at work. */
export function isDecompressing(): boolean {
  return underWay > 0;
}
