/** For an attacker: a connection to an echo server that sends `bytes` and reads them back, both at once. Whether all of them came, as they were. */
export const echoed = `
data = os.urandom(args['bytes'])
s = socket.socket(family_of(args['source']), socket.SOCK_STREAM)
s.bind((args['source'], 0))
s.settimeout(8)
s.connect(socket.getaddrinfo(args['to'], args['port'], family_of(args['source']), socket.SOCK_STREAM)[0][4])
s.sendall(b'first\\n')
threading.Thread(target=lambda: s.sendall(data), daemon=True).start()
heard = b''
while len(heard) < len(data) + 6:
    more = s.recv(65536)
    if not more: break
    heard += more
result = heard == b'first\\n' + data
s.close()
`;
