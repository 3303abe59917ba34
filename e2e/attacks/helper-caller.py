"""A caller of the helper that says what it likes: JSON in its first argument, the lines it is answered on standard output.

path: of the socket; head: bytes in hexadecimal, absent for a proper one; body: a text, or request: JSON; descriptors: paths that are
opened and sent, '-' for our own standard output; late: paths that are sent with the body; hold: seconds to stay at the end.
"""
import array, json, os, socket, struct, sys, time

asked = json.loads(sys.argv[1])
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(asked['path'])


def opened(paths):
    found = []
    for path in paths:
        if path == '-':
            found.append(1)
        elif os.path.isdir(path):
            found.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        elif path.startswith('O_PATH:'):
            found.append(os.open(path[7:], os.O_PATH))
        else:
            found.append(os.open(path, os.O_RDWR | os.O_CREAT))
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', found))] if found else []


body = (asked['body'] if 'body' in asked else json.dumps(asked.get('request', {}))).encode()
head = bytes.fromhex(asked['head']) if 'head' in asked else struct.pack('>II', 0x63666472, len(body))
try:
    s.sendmsg([head], opened(asked.get('descriptors', ['/dev/null', '-', '-'])))
    if not asked.get('silent'):
        s.sendmsg([body], opened(asked.get('late', [])))
    while True:
        answer = s.recv(65536)
        if not answer:
            break
        sys.stdout.buffer.write(answer)
        sys.stdout.flush()
except (BrokenPipeError, ConnectionResetError, socket.timeout) as error:
    print(json.dumps({'kind': 'closed', 'because': str(error)}))
