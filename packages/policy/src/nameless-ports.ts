/**
 * Ports where the server speaks before the client, or where TLS begins in mid-stream: from then on `tls`, requests and the claimed name
 * are absent for good (DESIGN 3.5). With what is usually spoken there.
 */
export const serverFirstPorts: ReadonlyMap<number, string> = new Map([
  [21, 'FTP'],
  [22, 'SSH'],
  [25, 'SMTP'],
  [110, 'POP3'],
  [119, 'NNTP'],
  [143, 'IMAP'],
  [587, 'SMTP'],
  [3306, 'MySQL'],
  [5900, 'RFB'],
]);

/** Ports whose usual protocol begins with neither TLS nor HTTP, whoever speaks first: clients claim no name there. */
export const namelessPorts: ReadonlyMap<number, string> = new Map([
  ...serverFirstPorts,
  [23, 'Telnet'],
  [53, 'DNS'],
  [389, 'LDAP'],
  [1433, 'SQL Server'],
  [5432, 'PostgreSQL'],
  [6379, 'Redis'],
  [27017, 'MongoDB'],
]);
