import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { newestVersion } from './clearml-endpoint.ts';
import { ClearmlApiError } from './clearml-error.ts';
import { isObject } from './clearml-request.ts';
import { company, createId, user } from './clearml-store.ts';

/** The sandbox's one pair of credentials, and the tokens given for it. */
export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  /** Checks an Authorization header; gives the bearer token where it is one. @throws ClearmlApiError 401 */
  check(header: string | undefined): string | undefined;
  createToken(lifetimeSeconds: number): string;
  revokeToken(token: string): void;
}

/** Random text of capital letters and digits, as ClearML's keys are. */
function randomKey(length: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return Array.from(randomBytes(length), (byte) => letters[byte % letters.length]).join('');
}

function refused(subcode: number, text: string): ClearmlApiError {
  return new ClearmlApiError(401, subcode, text);
}

/** Python's base64 decoding: foreign characters are skipped, then the number of the rest must do (recording 009). */
function decodeBasic(encoded: string): string {
  const characters = encoded.replace(/[^A-Za-z0-9+/]/g, '');
  if (characters.length % 4 === 1) {
    const text = `number of data characters (${characters.length}) cannot be 1 more than a multiple of 4`;
    throw refused(21, `Unauthorized (malformed credentials) (Invalid base64-encoded string: ${text})`);
  }
  const padding = /=*$/.exec(encoded)?.[0].length ?? 0;
  if ((characters.length + padding) % 4 !== 0) {
    throw refused(21, 'Unauthorized (malformed credentials) (Incorrect padding)');
  }
  return Buffer.from(characters, 'base64').toString('utf8');
}

/** Fresh credentials and a fresh key for tokens. */
export function createCredentials(nowMs: () => number): Credentials {
  const accessKey = randomKey(30);
  const secretKey = randomKey(48);
  const tokenKey = randomBytes(32);
  const revoked = new Set<string>();
  const sign = (body: string) => createHmac('sha256', tokenKey).update(body).digest();

  const checkToken = (token: string): void => {
    const invalid = (reason: string) => refused(30, `Invalid token (invalid jwt token): reason=${reason}`);
    const [header, content, signature] = token.split('.');
    if (header === undefined || content === undefined || signature === undefined)
      throw invalid('Not enough segments');
    const given = Buffer.from(signature, 'base64url');
    const expected = sign(`${header}.${content}`);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw invalid('Signature verification failed');
    }
    const decoded: unknown = JSON.parse(Buffer.from(content, 'base64url').toString());
    const expiresAt = isObject(decoded) ? Number(decoded.exp) : 0;
    if (expiresAt * 1000 <= nowMs()) throw invalid('Signature has expired');
    if (revoked.has(token)) throw refused(30, 'Invalid token (revoked token)');
  };

  return {
    accessKey,
    secretKey,
    check(header) {
      if (!header) throw refused(20, 'Unauthorized (missing credentials)');
      const [scheme, value = ''] = header.trim().split(/\s+/, 2);
      if (scheme === 'Bearer') {
        checkToken(value);
        return value;
      }
      if (scheme !== 'Basic') throw refused(10, 'Unauthorized (bad authentication header type)');
      if (decodeBasic(value) !== `${accessKey}:${secretKey}`) {
        const reason = '(invalid credentials) (failed to locate provided credentials)';
        throw refused(22, `Unauthorized ${reason}`);
      }
      return undefined;
    },
    createToken(lifetimeSeconds) {
      const issuedAt = Math.floor(nowMs() / 1000);
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const header = part({ alg: 'HS256', typ: 'JWT' });
      const content = part({
        exp: issuedAt + lifetimeSeconds,
        iat: issuedAt,
        identity: {
          user_name: user.name,
          user: user.id,
          company_name: company.name,
          company: company.id,
          role: user.role,
        },
        env: '<unknown>',
        auth_type: 'Bearer',
        session_id: createId(),
        api_version: newestVersion.join('.'),
        server_version: '2.3.0',
        server_build: '',
        feature_set: 'basic',
      });
      return `${header}.${content}.${sign(`${header}.${content}`).toString('base64url')}`;
    },
    revokeToken(token) {
      revoked.add(token);
    },
  };
}
