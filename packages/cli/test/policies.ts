/** A small policy with one of everything that the walk shows. Its line numbers appear in golden outputs. */
export const deskPolicy = `apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: desk-agents }
spec: { any: [{ agent: desk-agent }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: database-subnets }
spec: { any: [{ cidr: 10.30.0.0/16 }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: code }
spec: { domains: [github.com] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: database }
spec: { domains: [orders.db.internal.example] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: watched }
spec: { domains: [docs.example.com] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: desk }
spec:
  rules:
    - { name: code, action: permit, from: [desk-agents], to: [public-internet], web: [code], protocol: tcp, ports: [443], tls: required }
    - { name: plain, action: permit, from: [desk-agents], to: [public-internet], web: [code], protocol: tcp, ports: [80], tls: absent, http: { methods: [GET] } }
    - name: nightly
      action: permit
      from: [desk-agents]
      to: [database-subnets]
      web: [database]
      protocol: tcp
      ports: [6432]
      schedule: { timezone: Europe/Berlin, from: "22:00", until: "05:00" }
    - { name: database, action: permit, from: [desk-agents], to: [database-subnets], web: [database], protocol: tcp, ports: [5432] }
    - { name: docs, action: permit, mode: monitor, from: [desk-agents], to: [public-internet], web: [watched], protocol: tcp, ports: [443] }
`;

/** A rule that asks for what is inside TLS. */
export const openingPolicy = `apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: repositories }
spec: { urls: ["https://api.github.com/repos/acme/**"] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: opening }
spec:
  rules:
    - { name: repositories, action: permit, from: [desk-agents], to: [public-internet], web: [repositories], protocol: tcp, ports: [443], decrypt: allowed }
`;

/** Errors of several kinds, each at a place that a golden output names. */
export const brokenPolicy = `apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: broken }
spec:
  tire: agent
  rules:
    - { name: one, action: permitt, from: [nobody], to: [anywhere], protocol: tcp, ports: [99999] }
    - { name: two, action: permit, from: [], to: [anywhere], protocol: icmp, ports: [1] }
`;

/** `web` was forgotten. */
export const namelessPolicy = `apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: nameless }
spec:
  rules:
    - { name: reach, action: permit, from: [desk-agents], to: [public-internet], protocol: tcp, ports: [443], tls: required }
`;

/** A rule that ended before the instant of the tests. */
export const expiredPolicy = `apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: packages }
spec: { domains: [pypi.org] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: expired }
spec:
  rules:
    - { name: packages, action: permit, from: [desk-agents], to: [public-internet], web: [packages], protocol: tcp, ports: [443], expires: 2027-01-01T00:00:00Z }
`;

/** Servers whose clients claim no name: by `web`, and by `hostname`. */
export const serversPolicy = `apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: servers }
spec: { domains: [time.example.com, git.example.com] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: ssh-server }
spec: { any: [{ hostname: ssh.example.com }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: servers }
spec:
  rules:
    - { name: time, action: permit, from: [desk-agents], to: [public-internet], web: [servers], protocol: udp, ports: [123] }
    - { name: git, action: permit, from: [desk-agents], to: [public-internet], web: [servers], protocol: tcp, ports: [22] }
    - { name: ssh, action: permit, from: [desk-agents], to: [ssh-server], protocol: tcp, ports: [22] }
`;
