//! Modules that no compiler of another language writes.

/// An unsigned number as WebAssembly has it.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [number(items.len()), items.concat()].concat()
}

fn section(number: u8, contents: Vec<u8>) -> Vec<u8> {
    [vec![number], sized(&contents)].concat()
}

/// The same module, so many bytes longer: what is added is passed over.
pub fn padded(mut module: Vec<u8>, by: usize) -> Vec<u8> {
    module.extend(section(0, [sized(b"padding"), vec![0; by]].concat()));
    module
}

/// A program whose `_start` does nothing, with these functions beside it: types, and bodies with their locals; all of type 0.
pub fn module(types: &[Vec<u8>], bodies: Vec<Vec<u8>>) -> Vec<u8> {
    const NOTHING: [u8; 2] = [0, 0x0b];
    let mut code = vec![sized(&NOTHING)];
    code.extend(bodies.iter().map(|body| sized(body)));
    let exports = [
        b"\x06memory\x02\x00".to_vec(),
        b"\x06_start\x00\x00".to_vec(),
    ];
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, list(types)),
        section(3, list(&vec![vec![0]; code.len()])),
        section(5, list(&[vec![0, 1]])),
        section(7, list(&exports)),
        section(10, list(&code)),
    ]
    .concat()
}

const I32: u8 = 0x7f;
const NO_TYPE: [u8; 3] = [0x60, 0, 0];

/// 40 KB that take minutes by either compiler: thousands of functions with many locals each.
pub fn long() -> Vec<u8> {
    let locals = [list(&[[number(50_000), vec![I32]].concat()]), vec![0x0b]].concat();
    module(&[NO_TYPE.to_vec()], vec![locals; 5_000])
}

/// 37 KB that take gigabytes: branch tables to every one of many blocks, with many results each.
pub fn large() -> Vec<u8> {
    const BLOCKS: usize = 900;
    const TABLES: usize = 4;
    let results = list(&vec![vec![I32]; BLOCKS]);
    let values = |count: usize| [0x20, 0].repeat(count);
    let targets: Vec<Vec<u8>> = (1..=BLOCKS).map(number).collect();
    // Within a block of its own each, which is left first.
    let table = [
        vec![0x02, 0x40, 0x20, 0, 0x0d, 0],
        values(BLOCKS + 1),
        vec![0x0e],
        list(&targets),
        vec![1, 0x0b],
    ]
    .concat();
    let body = [
        vec![1, 1, I32],
        [0x02, 1].repeat(BLOCKS),
        table.repeat(TABLES),
        values(BLOCKS),
        vec![0x0b; BLOCKS],
        vec![0x1a; BLOCKS],
        vec![0x0b],
    ]
    .concat();
    let types = [NO_TYPE.to_vec(), [vec![0x60, 0], results].concat()];
    module(&types, vec![body])
}
