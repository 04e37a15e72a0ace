//! How the functions that a module imports are answered.

use capfs_runtime::abi::{self, PREVIEW1_MODULE, Param, UNSTABLE_MODULE};
use wasmparser::{FuncType, ValType};

/// How a function that a module imports is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By the call.
    Provided,
    /// By `ENOSYS`: an extension, or an older draft, that programs can do without.
    Nosys,
    /// Not at all: the call of this name has another type, or the extension has one that can't say `ENOSYS`.
    OtherType,
    /// Not at all: it is none of WASI's.
    Missing,
}

/// Whether an import module is one of WASI's.
pub fn is_wasi(module: &str) -> bool {
    matches!(module, PREVIEW1_MODULE | UNSTABLE_MODULE)
}

/// How a function of this type is answered; see [`answer`].
pub fn type_answer(from: &str, name: &str, ty: &FuncType) -> Answer {
    let param = |ty: &ValType| match ty {
        ValType::I32 => Some(Param::I32),
        ValType::I64 => Some(Param::I64),
        _ => None,
    };
    let (params, results) = (ty.params().iter(), ty.results().iter());
    answer(from, name, params.map(param), results.map(param))
}

/// How a function is answered. Types are `None` where no call has such a parameter or result.
pub fn answer(
    from: &str,
    name: &str,
    params: impl Iterator<Item = Option<Param>>,
    results: impl Iterator<Item = Option<Param>>,
) -> Answer {
    const EXIT: (&[Param], &[Param]) = (&[Param::I32], &[]);
    const ERRNO: &[Option<Param>] = &[Some(Param::I32)];
    // WasmEdge's, from before the call took flags.
    const OLD_ACCEPT: &[Option<Param>] = &[Some(Param::I32); 2];
    if !is_wasi(from) {
        return Answer::Missing;
    }
    let params: Vec<Option<Param>> = params.collect();
    let results: Vec<Option<Param>> = results.collect();
    let old = abi::UNSTABLE
        .iter()
        .find(|call| from == UNSTABLE_MODULE && call.name.strip_prefix("unstable_") == Some(name));
    let call = old.or_else(|| abi::PREVIEW1.iter().find(|call| call.name == name));
    let call = call.map(|call| (call.params, &[Param::I32][..]));
    let Some((wanted, answered)) = call.or((name == "proc_exit").then_some(EXIT)) else {
        return match results.is_empty() || results == ERRNO {
            true => Answer::Nosys,
            false => Answer::OtherType,
        };
    };
    let same = |types: &[Option<Param>], call: &[Param]| {
        types.iter().copied().eq(call.iter().copied().map(Some))
    };
    match same(&params, wanted) && same(&results, answered) {
        true => Answer::Provided,
        false if name == "sock_accept" && params == OLD_ACCEPT && results == ERRNO => Answer::Nosys,
        false => Answer::OtherType,
    }
}
