"""A machine of the randomised lab: it sends what it is told, one JSON line for each flow, and serves whoever reaches it.

Arguments: the device, then `serve` where it is to listen. Lines in: {"do": "mark", ...}, {"do": "ask", ...} or {"do": "flow", ...}. Lines out:
what the client of a question or a flow saw. What arrived is never taken from here: captures say that.
"""
import json
import os
import socket
import struct
import sys
import threading
import time

device = sys.argv[1]
said = threading.Lock()
TCP_PORTS = (22, 80, 443, 5000, 5432, 8080)
UDP_PORTS = (443, 5000)
GREETS = (22, 5432)
ICMP = {4: (socket.IPPROTO_ICMP, 8), 6: (socket.IPPROTO_ICMPV6, 128)}


def say(**words):
    with said:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()


def converse(connection, port):
    try:
        connection.settimeout(20)
        if port in GREETS:
            connection.sendall(b"220 ready\r\n")
        while True:
            data = connection.recv(65536)
            if not data:
                break
            if data[:1] in b"GPDH":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            else:
                connection.sendall(data)
    except OSError:
        pass
    connection.close()


def serve_tcp(port):
    listening = socket.socket(socket.AF_INET6)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listening.bind(("::", port))
    listening.listen(256)
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=converse, args=(connection, port), daemon=True).start()


def serve_udp(port, family):
    # An answer must leave from the address that was asked, which the packet says.
    s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    level, option = (socket.IPPROTO_IP, 8) if family == 4 else (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
    if family == 6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.setsockopt(level, option, 1)
    s.bind(("0.0.0.0" if family == 4 else "::", port))
    while True:
        data, ancillary, _, who = s.recvmsg(65536, 256)
        info = ancillary[0][2]
        back = struct.pack("=I4s4s", 0, info[8:12], b"\0" * 4) if family == 4 else info[:16] + struct.pack("=I", 0)
        kind = 8 if family == 4 else socket.IPV6_PKTINFO
        try:
            s.sendmsg([data], [(level, kind, back)], 0, who)
        except OSError:
            pass


def question(name, family, number):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1 if family == 4 else 28, 1)


def after_name(data, at):
    while data[at] not in (0,) and data[at] < 192:
        at += data[at] + 1
    return at + (1 if data[at] == 0 else 2)


def resolve(flow):
    """The addresses that the name server said. It is asked once more where an answer is lost."""
    family = flow["family"]
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    for _ in range(2 if flow["patient"] else 1):
        s = socket.socket(kind, socket.SOCK_DGRAM)
        s.bind((flow["source"], 0))
        s.settimeout(2 if flow["patient"] else 0.6)
        number = int.from_bytes(os.urandom(2), "big")
        try:
            s.sendto(question(flow["name"], family, number), (flow["server"], 53))
            data, _ = s.recvfrom(4096)
        except OSError:
            continue
        finally:
            s.close()
        head = struct.unpack(">HHHHHH", data[:12])
        found = []
        if head[1] & 15:
            return found, "answer code %d" % (head[1] & 15)
        at = after_name(data, 12) + 4
        for _ in range(head[3]):
            at = after_name(data, at)
            what, _, _, length = struct.unpack(">HHIH", data[at : at + 10])
            if what == (1 if family == 4 else 28):
                found.append(socket.inet_ntop(kind, data[at + 10 : at + 10 + length]))
            at += 10 + length
        return found, ""
    return [], "no answer"


def tcp(flow, to):
    s = socket.socket(socket.AF_INET if flow["family"] == 4 else socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((flow["source"], flow["sourcePort"]))
    s.settimeout(flow["wait"])
    try:
        s.connect((to, flow["port"]))
        if flow["listens"]:
            s.recv(4096)
        s.sendall(bytes.fromhex(flow["bytes"]))
        s.settimeout(flow["linger"])
        return s.recv(65536)
    finally:
        s.close()


def udp(flow, to):
    s = socket.socket(socket.AF_INET if flow["family"] == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    # Fragments where it does not fit, whatever the path says.
    s.setsockopt(*((socket.IPPROTO_IP, 10, 0) if flow["family"] == 4 else (socket.IPPROTO_IPV6, 23, 0)))
    s.bind((flow["source"], flow["sourcePort"]))
    s.settimeout(flow["linger"])
    try:
        s.sendto(bytes.fromhex(flow["bytes"]), (to, flow["port"]))
        return s.recv(65536)
    finally:
        s.close()


def echo(flow, to):
    protocol, kind = ICMP[flow["family"]]
    s = socket.socket(socket.AF_INET if flow["family"] == 4 else socket.AF_INET6, socket.SOCK_DGRAM, protocol)
    s.bind((flow["source"], flow["sourcePort"]))
    s.settimeout(flow["linger"])
    try:
        s.sendto(struct.pack(">BBHHH", kind, 0, 0, 0, 1) + bytes.fromhex(flow["bytes"]), (to, 0))
        return s.recv(65536)
    finally:
        s.close()


def put(frames):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((device, 0))
    for frame in frames:
        link.send(bytes.fromhex(frame))
    link.close()


def ask(flow):
    told, why = resolve(flow)
    say(id=flow["id"], told=told, got=0, why=why)


def run(flow):
    why, got = "", b""
    try:
        if flow["frames"]:
            put(flow["frames"])
        else:
            got = {"tcp": tcp, "udp": udp, "icmp": echo}[flow["protocol"]](flow, flow["address"])
    except OSError as e:
        why = type(e).__name__ + " " + str(e)
    say(id=flow["id"], told=[], got=len(got), why=why)


if sys.argv[2:] == ["serve"]:
    for port in TCP_PORTS:
        threading.Thread(target=serve_tcp, args=(port,), daemon=True).start()
    for port in UDP_PORTS:
        for family in (4, 6):
            threading.Thread(target=serve_udp, args=(port, family), daemon=True).start()
time.sleep(0.1)
say(ready=True)
for line in sys.stdin:
    word = json.loads(line)
    if word["do"] == "mark":
        # A frame of no protocol (IEEE 802, local experimental EtherType), which nobody resolves or judges.
        put([(b"\xff" * 6 + b"\x02" + b"\0" * 5 + b"\x88\xb5" + word["text"].encode().ljust(60)).hex()])
    else:
        threading.Thread(target=ask if word["do"] == "ask" else run, args=(word,), daemon=True).start()
