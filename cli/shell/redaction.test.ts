import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { listForms } from '../dev/secret-forms.ts';
import { listSecrets } from './environment.ts';
import { createRedactor, escapeRegExp } from './redaction.ts';

test('a secret goes, plain, base64 and URL-encoded, wherever it stands', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, unit: 'grapheme-ascii' }), fc.string(), (secret, around) => {
      fc.pre(!around.includes(secret) && secret.trim().length >= 8 && !'***'.includes(secret));
      const redact = createRedactor([secret]);
      const forms = [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
        Buffer.from(secret).toString('base64url'),
      ];
      for (const form of forms) {
        expect(redact(`${around}${form}${around}`)).not.toContain(form);
      }
    }),
  );
});

test('a secret goes from the midst of base64 and of JSON too', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 12, maxLength: 40, unit: 'grapheme' }),
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'grapheme' }),
      (secret, before, after) => {
        fc.pre(!secret.includes('*') && !(before + after).includes(secret));
        const redact = createRedactor([secret]);
        for (const encoding of ['base64', 'base64url'] as const) {
          const text = redact(Buffer.from(before + secret + after).toString(encoding));
          expect(Buffer.from(text.replaceAll('***', ''), encoding).toString('utf8')).not.toContain(secret);
          for (const piece of listForms(secret).slice(4)) expect(text).not.toContain(piece);
        }
        expect(redact(JSON.stringify({ text: before + secret + after }))).not.toContain(
          JSON.stringify(secret).slice(1, -1),
        );
      },
    ),
  );
});

test('keys, tokens, the user info of proxies and hosts, and the Authorization header count as secrets', () => {
  const secrets = listSecrets({
    CLEARML_API_ACCESS_KEY: 'ACCESS-1',
    CLEARML_API_SECRET_KEY: 'SECRET-2',
    GH_TOKEN: 'ghp_3',
    HTTPS_PROXY: 'http://user4:p%40ss5@proxy.example.com:3128',
    GITHUB_REPOSITORY: 'acme/digits',
  });
  const redact = createRedactor(secrets);
  const authorization = Buffer.from('ACCESS-1:SECRET-2').toString('base64');
  const text = `ACCESS-1 SECRET-2 ghp_3 user4 p%40ss5 p@ss5 ${authorization} acme/digits proxy.example.com`;
  expect(redact(text)).toBe('*** *** *** *** *** *** *** acme/digits proxy.example.com');
});

test('a job’s token of 520 letters, a JWT, goes whole and in each part, in every header that may hold it', () => {
  const encode = (text: string) => Buffer.from(text).toString('base64url');
  const head = `ghs_${encode('{"alg":"RS256","typ":"JWT"}')}`;
  const claims = encode(JSON.stringify({ iss: 'github', jti: 'x'.repeat(60), exp: 1_800_000_000 }));
  const signature = encode('q7~'.repeat(200)).slice(0, 520 - head.length - claims.length - 2);
  const token = [head, claims, signature].join('.');
  expect(token).toHaveLength(520);
  const redact = createRedactor(listSecrets({ GH_TOKEN: ` ${token}\n` }));
  const basic = Buffer.from(`x-access-token:${token}`).toString('base64');
  for (const [text, expected] of [
    [token, '***'],
    [`authorization: token ${token}, accept: */*`, 'authorization: token ***, accept: */*'],
    [`["authorization","Bearer ${token}"]`, '["authorization","Bearer ***"]'],
    [`https://x-access-token:${token}@github.com/`, 'https://x-access-token:***@github.com/'],
    [`Bearer ${head}.\n ${claims}.\n ${signature}`, 'Bearer ***.\n ***.\n ***'],
    [`{"head":"${head}","claims":"${claims}"}`, '{"head":"***","claims":"***"}'],
    [Buffer.from(token).toString('base64'), '***'],
  ] as const)
    expect(redact(text)).toBe(expected);
  const header = redact(`AUTHORIZATION: basic ${basic}`);
  expect(header).toContain('***');
  for (const form of [token, head, claims, signature].flatMap(listForms)) expect(header).not.toContain(form);
});

test('what escapeRegExp gives matches the text and nothing else', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, other) => {
      const pattern = new RegExp(`^${escapeRegExp(text)}$`);
      expect(pattern.test(text)).toBe(true);
      if (other !== text) expect(pattern.test(other)).toBe(false);
    }),
  );
});
