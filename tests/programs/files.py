import os

with open('/data/numbers.txt') as file:
    numbers = [int(line) for line in file]
print('numbers', numbers)
with open('/data/sum.txt', 'w') as file:
    file.write(f'{sum(numbers)}\n')
with open('/data/sum.txt', 'a') as file:
    file.write('more\n')
print('sum.txt', open('/data/sum.txt').read().split())
for folder, folders, files in sorted(os.walk('/data')):
    print(folder, sorted(folders), sorted(files))
os.rename('/data/sum.txt', '/data/deep/total.txt')
os.makedirs('/data/a/b/c')
os.symlink('total.txt', '/data/deep/link')
print('link', os.readlink('/data/deep/link'), open('/data/deep/link').readline().strip())
os.utime('/data/numbers.txt', ns=(1_000_000_000, 1_234_567_890_123_456_789))
print('mtime', os.stat('/data/numbers.txt').st_mtime_ns)
os.remove('/data/numbers.txt')
os.removedirs('/data/a/b/c')
print(sorted(os.listdir('/data')), sorted(os.listdir('/data/deep')))
with open('/data/blob', 'w+b') as file:
    file.truncate(1000)
    file.seek(500)
    file.write(b'middle')
    file.seek(495)
    print('blob', file.read(16), os.fstat(file.fileno()).st_size)
for path in ('/missing', '/data/blob/below', '/../outside'):
    try:
        open(path)
    except OSError as error:
        print(path, type(error).__name__)
