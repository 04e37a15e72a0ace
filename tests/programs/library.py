import base64
import collections
import datetime
import hashlib
import json
import random
import re
import struct
import tempfile
import time
import zlib

print(json.loads('{"a": [1, 2.5, null, true]}'), json.dumps({'b': 'ä'}))
print(re.findall(r'(\w+)@(\w+)', 'ada@home, bob@work'))
print(hashlib.sha256(b'capfs').hexdigest())
print(collections.Counter('mississippi').most_common(2))
print(base64.b64encode(struct.pack('<IH', 7, 8)), zlib.crc32(b'capfs'))
print(zlib.decompress(zlib.compress(b'again and ' * 1000)) == b'again and ' * 1000)
print(datetime.date(2026, 1, 31) + datetime.timedelta(days=30))
print(random.Random(42).random(), len({random.random() for _ in range(100)}))
start = time.monotonic()
try:
    time.sleep(0.05)
except OSError as error:
    # This build's C library has no sleep: it refuses without a call to its host.
    print('sleep', error.errno)
print('clocks', time.monotonic() >= start, time.time() > 1_700_000_000)
with tempfile.TemporaryFile(dir='/') as file:
    file.write(b'temporary')
    file.seek(0)
    print(file.read())
