//! How the functions that a module imports are answered.

use std::sync::LazyLock;

use capfs_runtime::abi::{self, PREVIEW1_MODULE, Param, UNSTABLE_MODULE};
use wasmparser::{FuncType, ValType};

/// The type of `proc_exit`.
const EXIT: Type = (&[Param::I32], &[]);

/// The type of `sock_accept` in WasmEdge, from before the call took flags.
const OLD_ACCEPT: Type = (&[Param::I32; 2], &[Param::I32]);

/// Parameters and results.
type Type = (&'static [Param], &'static [Param]);

/// The types that decide how a function is answered, each once.
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let mut types: Vec<Type> = vec![(&[], &[]), EXIT, OLD_ACCEPT];
    for call in abi::PREVIEW1.iter().chain(abi::UNSTABLE) {
        let ty: Type = (call.params, &[Param::I32]);
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    types
});

/// What of a type decides about a module, in one byte: a module may have a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape(u8);

impl Shape {
    /// A function without parameters and results: the first of [`TYPES`], whose places the others are.
    pub(crate) const NOTHING: Shape = Shape(0);
    /// No function.
    pub(crate) const OTHER: Shape = Shape(u8::MAX);
    /// Functions of none of [`TYPES`]: without a result, with an `i32`, with anything else.
    const UNKNOWN: [Shape; 3] = [Shape(u8::MAX - 3), Shape(u8::MAX - 2), Shape(u8::MAX - 1)];

    /// That of a function.
    pub(crate) fn of(ty: &FuncType) -> Shape {
        let same = |types: &[ValType], known: &[Param]| {
            types.iter().map(param).eq(known.iter().copied().map(Some))
        };
        let known = |known: &Type| same(ty.params(), known.0) && same(ty.results(), known.1);
        match (TYPES.iter().position(known), ty.results()) {
            (Some(place), _) => Shape(place as u8),
            (None, []) => Shape::UNKNOWN[0],
            (None, [ValType::I32]) => Shape::UNKNOWN[1],
            (None, _) => Shape::UNKNOWN[2],
        }
    }

    /// How a function of it is answered; `None` for what is no function.
    pub(crate) fn answer(self, from: &str, name: &str) -> Option<Answer> {
        let known = |types: &'static [Param]| types.iter().copied().map(Some);
        if let Some((params, results)) = TYPES.get(usize::from(self.0)) {
            return Some(answer(from, name, known(params), known(results)));
        }
        let unknown = Shape::UNKNOWN.iter().position(|shape| *shape == self)?;
        let results: &[Option<Param>] = [&[], &[Some(Param::I32)][..], &[None]][unknown];
        let params = std::iter::once(None);
        Some(answer(from, name, params, results.iter().copied()))
    }
}

/// A value as calls have it.
fn param(ty: &ValType) -> Option<Param> {
    match ty {
        ValType::I32 => Some(Param::I32),
        ValType::I64 => Some(Param::I64),
        _ => None,
    }
}

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
    const ERRNO: &[Option<Param>] = &[Some(Param::I32)];
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
        false
            if name == "sock_accept"
                && same(&params, OLD_ACCEPT.0)
                && same(&results, OLD_ACCEPT.1) =>
        {
            Answer::Nosys
        }
        false => Answer::OtherType,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every function of WASI, and some that it hasn't, with every type that decides and some that don't.
    #[test]
    fn a_shape_is_answered_as_its_type() {
        assert!(TYPES.len() < usize::from(Shape::UNKNOWN[0].0));
        let values = |params: &[Param]| {
            let value = |param: &Param| match param {
                Param::I32 => ValType::I32,
                Param::I64 => ValType::I64,
            };
            params.iter().map(value).collect::<Vec<ValType>>()
        };
        let known = TYPES.iter();
        let mut types: Vec<FuncType> = known
            .map(|(params, results)| FuncType::new(values(params), values(results)))
            .collect();
        for results in [
            &[][..],
            &[ValType::I32],
            &[ValType::I64],
            &[ValType::I32; 2],
        ] {
            for params in [
                vec![ValType::F32],
                vec![ValType::I64; 20],
                vec![ValType::F64; 1000],
            ] {
                types.push(FuncType::new(params, results.iter().copied()));
            }
        }
        let names = abi::PREVIEW1.iter().map(|call| call.name);
        let older = abi::UNSTABLE.iter().map(|call| call.name);
        let older = older.map(|name| name.trim_start_matches("unstable_"));
        let names: Vec<&str> = names.chain(older).chain(["proc_exit", "draft"]).collect();
        for ty in &types {
            let shape = Shape::of(ty);
            assert_eq!(
                shape == Shape::NOTHING,
                ty.params().is_empty() && ty.results().is_empty()
            );
            for from in [PREVIEW1_MODULE, UNSTABLE_MODULE, "env"] {
                for name in &names {
                    let answered = Some(type_answer(from, name, ty));
                    assert_eq!(shape.answer(from, name), answered, "{from}.{name} {ty:?}");
                }
            }
        }
        assert_eq!(Shape::OTHER.answer(PREVIEW1_MODULE, "fd_read"), None);
    }
}
