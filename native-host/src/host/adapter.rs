//! A module between an agent and the host, by which calls that are answered at once cost what they cost on a thread.
//!
//! A function of the host that may suspend a stack is several times as dear as one that may not, whether it suspends or not: its future is
//! allocated. So each call is there twice: one that answers at once or with [`PENDING`], and one that suspends. The adapter has a function for
//! each call, which tries the first and goes to the second where there is no answer yet:
//! ```text
//! (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (local i32)
//!   (local.tee 4 (call $now_fd_read (local.get 0) …))
//!   (if (i32.eq (i32.const PENDING)) (then (local.set 4 (call $later_fd_read (local.get 0) …))))
//!   (local.get 4))
//! ```
//! Each agent has an instance of it. An agent whose module has a start function has not: that runs before its memory can be known, but for
//! a function that is called by the agent itself.

use capfs_modules::Answer;
use capfs_runtime::abi::{Call, PREVIEW1, Param, UNSTABLE, UNSTABLE_MODULE};
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, InstructionSink, TypeSection, ValType,
};
use wasmtime::{
    Engine, Extern, ExternType, Func, FuncType, Instance, InstancePre, Linker, Module,
    ModuleExport, Store,
};

use super::fiber::{self, Fiber};
use crate::linker::{answer_for, unsupported};

/// What stands for *no answer yet*: no errno, for those have 16 bits.
pub(super) const PENDING: i32 = -1;

/// Where the adapter imports the calls from that answer at once.
pub(super) const NOW: &str = "now";

/// Where it imports those from that suspend.
pub(super) const LATER: &str = "later";

/// The call by which an agent ends itself.
pub(super) const EXIT: &str = "proc_exit";

/// The adapter of an engine.
pub(super) struct Adapter {
    module: Module,
    linked: InstancePre<Fiber>,
}

/// A program whose calls go through the adapter.
#[derive(Clone)]
pub(crate) struct Adapted {
    module: Module,
    adapter: InstancePre<Fiber>,
    imports: Vec<Import>,
}

/// What an import of a program is.
#[derive(Clone)]
enum Import {
    /// A call.
    Call(ModuleExport),
    /// A function that no WASI has: it is answered with `ENOSYS`.
    Nosys(FuncType),
}

impl Adapter {
    /// Compiles the adapter, which takes ten milliseconds.
    ///
    /// # Errors
    /// The engine does not take it.
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Adapter> {
        let module = Module::from_binary(engine, &module())?;
        let mut linker = Linker::new(engine);
        fiber::define_both(&mut linker)?;
        let linked = linker.instantiate_pre(&module)?;
        Ok(Adapter { module, linked })
    }

    /// A program of which all imports are known to be answered.
    pub(super) fn adapt(&self, module: &Module) -> Option<Adapted> {
        let imports = module.imports().map(|import| {
            let ExternType::Func(ty) = import.ty() else {
                return None;
            };
            let (from, name) = (import.module(), import.name());
            match answer_for(from, name, &ty) {
                Answer::Nosys => Some(Import::Nosys(ty)),
                Answer::Provided => self.export(from, name).map(Import::Call),
                _ => None,
            }
        });
        Some(Adapted {
            module: module.clone(),
            adapter: self.linked.clone(),
            imports: imports.collect::<Option<_>>()?,
        })
    }

    fn export(&self, from: &str, name: &str) -> Option<ModuleExport> {
        let older = (from == UNSTABLE_MODULE).then(|| format!("unstable_{name}"));
        let older = older.and_then(|name| self.module.get_export_index(&name));
        older.or_else(|| self.module.get_export_index(name))
    }
}

impl Adapted {
    pub(super) fn module(&self) -> &Module {
        &self.module
    }

    /// Instantiates the adapter, and the program behind it.
    pub(super) async fn instantiate(&self, store: &mut Store<Fiber>) -> wasmtime::Result<Instance> {
        let adapter = self.adapter.instantiate_async(&mut *store).await?;
        let mut imports = Vec::with_capacity(self.imports.len());
        for import in &self.imports {
            imports.push(match import {
                Import::Call(export) => adapter
                    .get_module_export(&mut *store, export)
                    .ok_or_else(|| wasmtime::Error::msg("the adapter lacks a call"))?,
                Import::Nosys(ty) => {
                    let nosys = |_: wasmtime::Caller<'_, Fiber>, _: &[_], results: &mut [_]| {
                        unsupported(results)
                    };
                    Extern::Func(Func::new(&mut *store, ty.clone(), nosys))
                }
            });
        }
        Instance::new_async(&mut *store, &self.module, &imports).await
    }
}

fn params(call: &Call) -> Vec<ValType> {
    let params = call.params.iter();
    params
        .map(|param| match param {
            Param::I32 => ValType::I32,
            Param::I64 => ValType::I64,
        })
        .collect()
}

/// The adapter's bytes.
fn module() -> Vec<u8> {
    let calls: Vec<&Call> = PREVIEW1.iter().chain(UNSTABLE).collect();
    let count = calls.len() as u32;
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
    let mut code = CodeSection::new();
    for call in &calls {
        types.ty().function(params(call), [ValType::I32]);
    }
    types.ty().function([ValType::I32], []);
    for from in [NOW, LATER] {
        for (index, call) in calls.iter().enumerate() {
            imports.import(from, call.name, EntityType::Function(index as u32));
        }
    }
    imports.import(NOW, EXIT, EntityType::Function(count));
    exports.export(EXIT, ExportKind::Func, 2 * count);
    for (index, call) in (0..).zip(&calls) {
        functions.function(index);
        exports.export(call.name, ExportKind::Func, 2 * count + 1 + index);
        let given = call.params.len() as u32;
        let mut body = Function::new([(1, ValType::I32)]);
        let mut body_of = body.instructions();
        forward(&mut body_of, given, index);
        body_of.local_tee(given).i32_const(PENDING).i32_eq();
        body_of.if_(BlockType::Empty);
        forward(&mut body_of, given, count + index);
        body_of.local_set(given).end();
        body_of.local_get(given).end();
        code.function(&body);
    }
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&exports)
        .section(&code);
    module.finish()
}

/// Calls a function with the parameters of this one.
fn forward(body: &mut InstructionSink<'_>, given: u32, function: u32) {
    for param in 0..given {
        body.local_get(param);
    }
    body.call(function);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::engine;

    #[test]
    fn it_is_valid_and_has_every_call() {
        let adapter = Adapter::new(&engine()).unwrap();
        for call in PREVIEW1.iter().chain(UNSTABLE) {
            assert!(adapter.module.get_export_index(call.name).is_some());
        }
        // The older snapshot has its own form of some, and the others as they are: by the order of the table.
        let exported: Vec<_> = adapter
            .module
            .exports()
            .map(|export| export.name())
            .collect();
        assert_eq!(exported.len(), PREVIEW1.len() + UNSTABLE.len() + 1);
        for name in ["fd_seek", "fd_read", EXIT] {
            assert!(adapter.export(UNSTABLE_MODULE, name).is_some());
        }
        assert!(adapter.export(UNSTABLE_MODULE, "sock_open").is_none());
    }
}
