/**
 * Commands that go to `www.example.com` where only `example.com` is permitted: without a proxy, by another one, by another resolver, by address.
 * The first says `permitted`.
 */
export const otherRoutes = [
  'curl -sS -m 4 -o /dev/null https://example.com/ && echo permitted',
  'curl -sS -m 4 --noproxy "*" https://www.example.com/',
  'curl -sS -m 4 -x http://45.83.64.10:8080 http://www.example.com/',
  'curl -sS -m 4 -x socks5h://45.83.64.10:4444 http://www.example.com/',
  'curl -sS -m 4 --resolve www.example.com:443:93.184.215.14 https://www.example.com/',
  'curl -sS -m 4 --connect-to www.example.com:443:93.184.215.14:443 https://www.example.com/',
  'curl -sS -m 4 --interface lo https://93.184.215.14/',
  'curl -sS -m 4 -k https://93.184.215.14/ -H "Host: example.com"',
  'curl -sS -m 4 --dns-servers 8.8.8.8 https://www.example.com/',
  'dig +time=1 +tries=1 @8.8.8.8 www.example.com; dig +time=1 +tries=1 +tcp @45.83.64.10 www.example.com',
] as const;
