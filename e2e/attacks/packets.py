"""Packets made by hand, by a root of the agent's network. Run by packet-site.ts after library.py; `ends` says who sends to whom."""
from scapy.all import *

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('eth0', 0))


def ends(own, gateway, v4, v6):
    """Hardware addresses of the agent and of its gateway, and the agent's addresses."""
    global OWN, GATEWAY, SOURCE
    OWN, GATEWAY, SOURCE = own, gateway, {4: v4, 6: v6}


def frame(**more):
    return Ether(src=OWN, dst=GATEWAY, **more)


def IPx(family, dst, **more):
    return IP(src=SOURCE[4], dst=dst, **more) if family == 4 else IPv6(src=SOURCE[6], dst=dst, **more)


def put(*packets):
    for p in packets:
        link.send(bytes(p))


def settle():
    time.sleep(0.3)


def icmp_types(family, to, but_echo=False):
    """Data in every type of message that ICMP has, but for those of neighbours."""
    for kind in range(256):
        if but_echo and kind == (8 if family == 4 else 128):
            continue
        if family == 4:
            put(frame() / IPx(4, to) / ICMP(type=kind, id=7) / (b'secret' * 20))
        elif kind not in (133, 134, 135, 136, 137):
            put(frame() / IPx(6, to, nh=58) / Raw(bytes([kind, 0, 0, 0, 0, 7, 0, 1]) + b'secret' * 20))
    settle()


def other_protocols(family, *hosts):
    """Data in every protocol but ICMP, TCP and UDP."""
    for protocol in range(256):
        if protocol in ((1, 6, 17) if family == 4 else (0, 6, 17, 58)):
            continue
        for to in hosts:
            put(frame() / IPx(family, to, **{'proto' if family == 4 else 'nh': protocol}) / Raw(b'secret' * 20))
    settle()


class Fragments:
    """Fragments to `echo`, of which UDP port 7 is permitted, and to `denied`."""

    def __init__(self, family, echo, denied):
        self.family, self.echo, self.denied = family, echo, denied

    def cut(self, packet, *at):
        """Fragments of what lies behind the IP head, at these multiples of eight bytes."""
        body = bytes(packet.payload)
        ends, number, fragments = list(at) + [len(body)], int.from_bytes(os.urandom(2), 'big'), []
        for start, end in zip([0] + list(at), ends):
            fragments.append(self.piece(packet, body[start:end], start, end < len(body), number))
        return fragments

    def piece(self, packet, data, offset, more, number):
        if self.family == 4:
            head = IP(src=SOURCE[4], dst=packet.dst, proto=packet.proto, id=number, flags='MF' if more else 0, frag=offset // 8)
            return frame() / head / Raw(data)
        extension = IPv6ExtHdrFragment(nh=packet.nh, offset=offset // 8, m=more, id=number)
        return frame() / IPv6(src=SOURCE[6], dst=packet.dst, nh=44) / extension / Raw(data)

    def udp(self, to, port, text, source=5555):
        p = IPx(self.family, to) / UDP(sport=source, dport=port) / Raw(text)
        return p.__class__(bytes(p))

    def tcp(self, to, port, flags='S'):
        p = IPx(self.family, to) / TCP(sport=5556, dport=port, flags=flags) / Raw(b'y' * 40)
        return p.__class__(bytes(p))

    def honest(self):
        put(*self.cut(self.udp(self.echo, 7, b'good' * 100), 64, 128))
        put(*reversed(self.cut(self.udp(self.echo, 7, b'back' * 100), 64, 128)))
        settle()

    def hostile(self):
        udp, tcp, cut, piece, echo, denied = self.udp, self.tcp, self.cut, self.piece, self.echo, self.denied
        put(*cut(udp(denied, 4444, b'evil' * 100), 64, 128))
        put(*cut(udp(echo, 5000, b'evil' * 100), 64))
        # The first fragment of a permitted datagram, and then later ones for a denied host and port under the same number.
        a, b = udp(echo, 7, b'good' * 20), udp(echo, 5000, b'evil' * 20)
        body_a, body_b = bytes(a.payload), bytes(b.payload)
        put(piece(a, body_a[:48], 0, True, 77), piece(b, body_b[:48], 0, True, 77), piece(b, body_b[48:], 48, False, 77))
        put(piece(a, body_a[:48], 0, True, 78), piece(b, body_b, 0, False, 78))
        put(piece(b, body_b[:8], 0, True, 79), piece(a, body_a[:48], 0, True, 79), piece(a, body_a[48:], 48, False, 79))
        # Overlap: the second fragment would write over the ports.
        put(piece(a, body_a[:48], 0, True, 80), piece(b, body_b[:16], 0, True, 80), piece(a, body_a[48:], 48, False, 80))
        put(piece(a, body_a[8:48], 8, True, 81), piece(b, body_b[:16], 0, True, 81), piece(a, body_a[48:], 48, False, 81))
        # A later fragment for a denied host, with the number of a permitted datagram that waits for it.
        evil = udp(denied, 4444, b'evil' * 20)
        put(piece(a, body_a[:48], 0, True, 82), piece(evil, body_b[48:], 48, False, 82))
        # Without a first; and one that is its own first and last.
        put(piece(evil, body_b[48:], 48, False, 83), piece(evil, body_b, 0, False, 84))
        put(*cut(tcp(echo, 443), 24), *cut(tcp(echo, 443), 8, 16), *cut(tcp(denied, 443), 24))
        settle()


def extension_headers(hosts, denied):
    """To hosts of IPv6, a permitted port among those tried."""
    for port in (7, 4444):
        for to in hosts:
            u = UDP(sport=5557, dport=port) / Raw(b'evil' * 10)
            for chain in (
                IPv6ExtHdrHopByHop(),
                IPv6ExtHdrDestOpt(options=[PadN(optdata=b'secret')]),
                IPv6ExtHdrRouting(addresses=[denied]),
                IPv6ExtHdrRouting(type=2, addresses=[denied]),
                IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
                IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt(),
                IPv6ExtHdrFragment() / IPv6ExtHdrFragment(),
                IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(),
            ):
                put(frame() / IPx(6, to) / chain / u)
            put(frame() / IPx(6, to, nh=51) / Raw(b'\x11\x01' + b'\0' * 10) / u)
            put(frame() / IPx(6, to, nh=59) / Raw(b'secret'))
    settle()


def ipv4_options(permitted, via):
    """To a permitted host of IPv4, by way of another."""
    for option in (IPOption_LSRR(routers=[via]), IPOption_SSRR(routers=[via]), IPOption_RR(), IPOption_Router_Alert()):
        put(frame() / IPx(4, permitted, options=[option]) / UDP(sport=5557, dport=7) / Raw(b'evil'))
        put(frame() / IPx(4, permitted, options=[option]) / ICMP(id=5))
    settle()
