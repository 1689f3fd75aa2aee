import { expect, test } from '@jest/globals';
import { readNoProxy } from './no-proxy.ts';

test.each([
  ['*', 'https://api.clear.ml', true],
  ['', 'https://api.clear.ml', false],
  ['clear.ml', 'https://api.clear.ml', true],
  ['.clear.ml', 'https://clear.ml', true],
  ['*.clear.ml', 'https://api.clear.ml', true],
  ['API.Clear.ML.', 'https://api.clear.ml', true],
  ['ear.ml', 'https://api.clear.ml', false],
  ['localhost other\tapi.clear.ml', 'https://api.clear.ml', true],
  ['localhost, api.clear.ml', 'https://api.clear.ml', true],
  ['api.clear.ml:*', 'https://api.clear.ml', true],
  ['localhost:*', 'http://localhost:8008', true],
  ['localhost:*', 'http://other:8008', false],
  ['localhost:8008', 'http://localhost:8008', true],
  ['localhost:8008', 'http://localhost:8080', false],
  ['clear.ml:443', 'https://api.clear.ml', true],
  ['10.1.2.3', 'http://10.1.2.3:8008', true],
  ['10.1.2.3:*', 'http://10.1.2.3:8008', true],
  ['2.3', 'http://10.1.2.3:8008', false],
  ['10.0.0.0/8', 'http://10.1.2.3:8008', true],
  ['192.168.0.0/16,10.0.0.0/8', 'http://10.1.2.3', true],
  ['10.1.2.4/31', 'http://10.1.2.5', true],
  ['10.1.2.4/31', 'http://10.1.2.6', false],
  ['0.0.0.0/0', 'http://10.1.2.3', true],
  ['10.0.0.0/33', 'http://10.1.2.3', false],
  ['10.0.0.0/', 'http://10.0.0.0', false],
  ['10.0.0.0/8', 'http://ten.example.com', false],
  ['::1', 'http://[::1]:8008', true],
  ['[::1]:*', 'http://[::1]:8008', true],
  ['fd00::/8', 'http://[fd12::1]:8008', true],
  ['fd00::/8', 'http://[fe80::1]:8008', false],
  ['10.0.0.0/8', 'http://[fd12::1]', false],
])('NO_PROXY="%s" and %s: around the proxy %s', (text, url, expected) => {
  expect(readNoProxy(text)(new URL(url))).toBe(expected);
});
