//! What instances of modules with many definitions take, measured from outside. Alone in its process, whose memory it looks at.

mod fleet;

use std::fs;

use capfs_host::host::{Host, Io, LaunchError, Plan, Program};
use fleet::{id, runtime};
use tokio::io::AsyncReadExt;
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// Functions, each of which is referred to.
const FUNCTIONS: u32 = 20_000;
/// Globals, and elements that are all the same function.
const MANY: u32 = 200_000;
/// Agents of a module that run at once.
const AGENTS: usize = 16;
/// Bytes of this process that nobody is charged for: what an allocator keeps, and 31 KiB for each of them are charged as more.
const BESIDE: u64 = 8 << 20;

/// A program that says a line, and waits for the end of its input. It has these functions and globals more, and this segment.
fn module(functions: u32, globals: u32, elements: &[u32]) -> Vec<u8> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([], []);
    for name in ["fd_write", "fd_read"] {
        imports.import("wasi_snapshot_preview1", name, EntityType::Function(0));
    }
    let (mut defined, mut code) = (FunctionSection::new(), CodeSection::new());
    defined.function(1);
    let mut start = Function::new([]);
    let mut body = start.instructions();
    for (call, descriptor) in [(0, 1), (1, 0)] {
        body.i32_const(descriptor).i32_const(0).i32_const(1);
        body.i32_const(8).call(call).drop();
    }
    body.end();
    code.function(&start);
    for _ in 0..functions {
        defined.function(1);
        let mut nothing = Function::new([]);
        nothing.instructions().end();
        code.function(&nothing);
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut values = GlobalSection::new();
    let number = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    for _ in 0..globals {
        values.global(number, &ConstExpr::i32_const(7));
    }
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("_start", ExportKind::Func, 2);
    let mut segments = ElementSection::new();
    segments.passive(Elements::Functions(elements.into()));
    let mut data = DataSection::new();
    let line = [16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'\n'];
    data.active(0, &ConstExpr::i32_const(0), line);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&defined)
        .section(&memories)
        .section(&values)
        .section(&exports)
        .section(&segments)
        .section(&code)
        .section(&data);
    module.finish()
}

/// Bytes of this process's own memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.unwrap().trim().strip_suffix("kB").unwrap().trim();
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn agents_are_charged_what_their_instances_take() {
    let all: Vec<u32> = (3..FUNCTIONS).collect();
    let modules = [
        (
            "functions",
            module(FUNCTIONS, 0, &all),
            u64::from(FUNCTIONS) * 32,
        ),
        ("globals", module(0, MANY, &[]), u64::from(MANY) * 16),
        (
            "elements",
            module(0, 0, &vec![2; MANY as usize]),
            u64::from(MANY) * 16,
        ),
    ];
    runtime(2).block_on(async {
        for (name, wasm, least) in modules {
            let host = Host::builder().compile_here().build().unwrap();
            let program = Program::bytes(name, wasm);
            let mut agents = Vec::new();
            let mut before = None;
            for number in 0..=AGENTS {
                let plan = Plan::new(program.clone()).max_memory(16 << 20);
                let agent = host.launch(id(number), plan, Io::piped()).await;
                let mut agent = agent.unwrap();
                let mut stdout = agent.stdout().unwrap();
                stdout.read_exact(&mut [0]).await.unwrap();
                agents.push((agent, stdout));
                // The first has the code made.
                before = before.or_else(|| Some((resident(), host.usage().account.used)));
            }
            let (resident_before, used_before) = before.unwrap();
            let resident = resident().saturating_sub(resident_before);
            let used = host.usage().account.used - used_before;
            assert!(
                resident < used + BESIDE,
                "{name}: {resident} bytes, and {used} are charged"
            );
            assert!(used > AGENTS as u64 * least, "{name}: {used}");
            // Who may not hold it is not launched.
            let small = Plan::new(program).max_memory(host_takes() + least / 2);
            let refused = host.launch(id("small"), small, Io::null()).await;
            assert!(matches!(refused.err(), Some(LaunchError::Memory)), "{name}");
        }
    });
}

/// What each agent is charged whatever it is.
fn host_takes() -> u64 {
    capfs_host::host::STACK as u64 + (256 << 10)
}
