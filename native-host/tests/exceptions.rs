//! Programs with the older exception instructions, translated and run: each does what the instructions' definition says.

use capfs_host::engine::{engine, validate};
use wasmtime::{Instance, Module, Store, ThrownException, Trap, Val};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// With no value.
    Returns,
    /// With this value, as its bits.
    With(u64),
    /// By an exception that it doesn't catch.
    Throws,
    /// By this trap.
    Traps(Trap),
}
use Ends::{Returns, Throws, Traps, With};

/// What all programs have: tags, and functions that throw.
const COMMON: &str = r#"
    (tag $plain) (tag $other) (tag $third)
    (tag $int (param i32)) (tag $long (param i64)) (tag $float (param f32)) (tag $double (param f64))
    (tag $pair (param i32 i64))
    (type $swap (func (param i32 i64) (result i64 i32)))
    (table funcref (elem $throw))
    (func $throw throw $plain)
    (func $throw_int (param i32) local.get 0 throw $int)
    (func $throw_pair i32.const 6 i64.const 7 throw $pair)
    ;; Throws $plain for 1, $other for 2, nothing otherwise.
    (func $select (param i32)
        local.get 0 i32.const 1 i32.eq if throw $plain end
        local.get 0 i32.const 2 i32.eq if throw $other end)
    (func $divide (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_u)
"#;

fn run(function: &str, args: &[Val]) -> Ends {
    let wat = format!(r#"(module {COMMON} (func (export "f") {function}))"#);
    let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{function}: {error}"));
    let engine = engine();
    let valid =
        validate(&engine, &wasm, "test").unwrap_or_else(|error| panic!("{function}: {error}"));
    let module = Module::new(&engine, &valid).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let called = instance.get_func(&mut store, "f").unwrap();
    let mut results = vec![Val::I32(0); called.ty(&store).results().len()];
    match called.call(&mut store, args, &mut results) {
        Ok(()) => match results.first() {
            None => Returns,
            Some(Val::I32(value)) => With(u64::from(*value as u32)),
            Some(Val::I64(value)) => With(*value as u64),
            Some(Val::F32(bits)) => With(u64::from(*bits)),
            Some(Val::F64(bits)) => With(*bits),
            Some(other) => panic!("{other:?}"),
        },
        Err(error) if error.is::<ThrownException>() => Throws,
        Err(error) => Traps(*error.downcast_ref::<Trap>().unwrap()),
    }
}

#[track_caller]
fn check(function: &str, cases: &[(&[Val], Ends)]) {
    for (args, ends) in cases {
        assert_eq!(run(function, args), *ends, "{function}, {args:?}");
    }
}

const I: fn(i32) -> Val = Val::I32;

#[test]
fn catching() {
    check("try catch $plain end", &[(&[], Returns)]);
    check("try throw $plain catch $plain end", &[(&[], Returns)]);
    check("try throw $other catch $plain end", &[(&[], Throws)]);
    check(
        "(param i32) (result i32) try (result i32) local.get 0 call $select i32.const 42 catch $plain i32.const 23 end",
        &[(&[I(0)], With(42)), (&[I(1)], With(23)), (&[I(2)], Throws)],
    );
    check(
        "(param i32) (result i32) try (result i32) local.get 0 call $select i32.const 5 catch $plain i32.const 3 catch $other i32.const 4 end",
        &[(&[I(0)], With(5)), (&[I(1)], With(3)), (&[I(2)], With(4))],
    );
    check(
        "(result i32) try (result i32) throw $third catch $plain i32.const 3 catch $other i32.const 4 catch_all i32.const 5 end",
        &[(&[], With(5))],
    );
    // The first handler of a tag is the one.
    check(
        "(result i32) try (result i32) throw $plain catch $plain i32.const 1 catch $plain i32.const 2 end",
        &[(&[], With(1))],
    );
    check(
        "(param i32) (result i32) try (result i32) try (result i32) local.get 0 call $select i32.const 2 catch $plain i32.const 3 end catch $other i32.const 4 end",
        &[(&[I(0)], With(2)), (&[I(1)], With(3)), (&[I(2)], With(4))],
    );
    // A handler is not its own `try`'s.
    check(
        "try throw $plain catch $plain throw $plain end",
        &[(&[], Throws)],
    );
    check(
        "(result i32) try (result i32) try (result i32) throw $plain catch_all throw $other end catch $other i32.const 8 end",
        &[(&[], With(8))],
    );
    // Without handlers it is a block.
    check(
        "(param i32) (result i32) try (result i32) try (result i32) local.get 0 call $select i32.const 0 end catch $plain i32.const 1 end",
        &[(&[I(0)], With(0)), (&[I(1)], With(1)), (&[I(2)], Throws)],
    );
}

#[test]
fn traps_are_not_exceptions() {
    check(
        "try unreachable catch_all end",
        &[(&[], Traps(Trap::UnreachableCodeReached))],
    );
    check(
        "(param i32 i32) (result i32) try (result i32) local.get 0 local.get 1 call $divide catch_all i32.const 11 end",
        &[
            (&[I(7), I(2)], With(3)),
            (&[I(1), I(0)], Traps(Trap::IntegerDivisionByZero)),
        ],
    );
}

#[test]
fn values() {
    let returned = |ty: &str, tag: &str| {
        format!(
            "(param {ty}) (result {ty}) try (result {ty}) local.get 0 throw {tag} unreachable catch {tag} return end"
        )
    };
    check(
        &returned("i32", "$int"),
        &[
            (&[I(0)], With(0)),
            (&[I(10)], With(10)),
            (&[I(-1)], With(0xffff_ffff)),
        ],
    );
    check(
        &returned("i64", "$long"),
        &[(&[Val::I64(5)], With(5)), (&[Val::I64(-1)], With(u64::MAX))],
    );
    let float = 10.5f32.to_bits();
    check(
        &returned("f32", "$float"),
        &[(&[Val::F32(float)], With(float.into()))],
    );
    let double = 10.5f64.to_bits();
    check(
        &returned("f64", "$double"),
        &[(&[Val::F64(double)], With(double))],
    );
    // What else was on the stack is gone.
    check(
        "(param i32) (result i32) try (result i32) i32.const 1 i32.const 2 local.get 0 call $throw_int drop catch $int end",
        &[(&[I(5)], With(5))],
    );
    check(
        "(result i32) try call $throw_pair catch $pair i64.const 7 i64.ne if unreachable end i32.const 6 i32.ne if unreachable end end i32.const 1",
        &[(&[], With(1))],
    );
    check(
        "(param f32) local.get 0 throw $float",
        &[(&[Val::F32(0)], Throws)],
    );
    check(
        "(param i64) local.get 0 throw $long",
        &[(&[Val::I64(5)], Throws)],
    );
    check(
        "(param f64) local.get 0 throw $double",
        &[(&[Val::F64(5)], Throws)],
    );
    // Parameters and several results.
    check(
        "(param i32) (result i32) (local i64)
         i32.const 3 i64.const 4
         try (type $swap) local.set 1 drop local.get 0 call $select i64.const 1 i32.const 2
         catch $plain i64.const 10 i32.const 20
         catch $other i64.const 30 i32.const 40 br 0
         end
         local.set 0 local.set 1 local.get 0 local.get 1 i32.wrap_i64 i32.add",
        &[(&[I(0)], With(3)), (&[I(1)], With(30)), (&[I(2)], With(70))],
    );
    check(
        "(param i32) (result i32) local.get 0 try (param i32) (result i32) i32.const 1 i32.add call $throw_int i32.const 0 catch $int i32.const 10 i32.mul end",
        &[(&[I(4)], With(50))],
    );
}

#[test]
fn throwing_on() {
    check(
        "try throw $plain catch $plain rethrow 0 end",
        &[(&[], Throws)],
    );
    check("try throw $plain catch_all rethrow 0 end", &[(&[], Throws)]);
    check(
        "try throw $plain catch $plain i32.const 1 rethrow 0 end",
        &[(&[], Throws)],
    );
    for catch in ["catch $plain", "catch_all"] {
        let function = format!(
            "(param i32) (result i32) try (result i32) throw $plain {catch} local.get 0 i32.eqz if rethrow 1 end i32.const 23 end"
        );
        check(&function, &[(&[I(0)], Throws), (&[I(1)], With(23))]);
    }
    // Out of the inner handler, the inner and the outer exception.
    check(
        "(param i32) (result i32)
         try (result i32)
           try (result i32) throw $other
           catch $other
             try (result i32) throw $plain
             catch $plain
               local.get 0 i32.const 0 i32.eq if rethrow 1 end
               local.get 0 i32.const 1 i32.eq if rethrow 2 end
               i32.const 23
             end
           end
         catch $plain i32.const 1 catch $other i32.const 2 end",
        &[(&[I(0)], With(1)), (&[I(1)], With(2)), (&[I(2)], With(23))],
    );
    check(
        "(param i32) (result i32) try (result i32) throw $plain catch $plain try (result i32) local.get 0 i32.eqz if rethrow 2 end i32.const 42 catch $plain i32.const 23 end end",
        &[(&[I(0)], With(23)), (&[I(1)], With(42))],
    );
    // Its values go with it.
    check(
        "(param i32) (result i32) try (result i32) try (result i32) local.get 0 call $throw_int i32.const 0 catch_all rethrow 0 end catch $int end",
        &[(&[I(77)], With(77))],
    );
    check(
        "(param i32) (result i32) try (result i32) try (result i32) local.get 0 call $throw_int i32.const 0 catch $int drop rethrow 0 end catch $int end",
        &[(&[I(77)], With(77))],
    );
    // In a loop each exception is its own.
    check(
        "(result i32) (local i32 i32)
         loop $again
           try try local.get 0 call $throw_int catch $int drop rethrow 0 end catch $int local.get 1 i32.add local.set 1 end
           local.get 0 i32.const 1 i32.add local.tee 0 i32.const 5 i32.lt_u br_if $again
         end
         local.get 1",
        &[(&[], With(10))],
    );
    // Two handlers one after the other, and one in the other.
    check(
        "(result i32) (local i32)
         try i32.const 3 call $throw_int catch $int local.set 0
           try rethrow 1 catch $int local.get 0 i32.add local.set 0
             try i32.const 100 call $throw_int catch_all try rethrow 3 catch $int local.get 0 i32.add local.set 0 end end
           end
         end
         local.get 0",
        &[(&[], With(9))],
    );
}

#[test]
fn delegating() {
    check(
        "(result i32) try $t (result i32) try (result i32) i32.const 1 delegate $t catch $plain i32.const 2 end",
        &[(&[], With(1))],
    );
    check(
        "(param i32) (result i32) try $t (result i32) try (result i32) local.get 0 call $select i32.const 1 delegate $t catch $plain i32.const 2 end",
        &[(&[I(0)], With(1)), (&[I(1)], With(2)), (&[I(2)], Throws)],
    );
    check(
        "(result i32) try (result i32) try (result i32) throw $plain i32.const 1 delegate 0 catch $other i32.const 2 end",
        &[(&[], Throws)],
    );
    // Past a handler that would have caught it.
    check(
        "(result i32) try $t (result i32) try (result i32) try (result i32) throw $plain i32.const 1 delegate $t catch $plain i32.const 2 end catch $plain i32.const 3 end",
        &[(&[], With(3))],
    );
    // To a block, and to a handler: to the next `try` around them.
    check(
        "(result i32) try (result i32) block try throw $plain delegate 0 end i32.const 0 catch_all i32.const 1 end",
        &[(&[], With(1))],
    );
    check(
        "(result i32) try (result i32) try throw $plain catch $plain try rethrow 1 delegate 0 end i32.const 0 catch_all i32.const 1 end",
        &[(&[], With(1))],
    );
    // To the caller.
    check("try throw $plain delegate 0", &[(&[], Throws)]);
    check(
        "try try throw $plain delegate 1 catch_all end",
        &[(&[], Throws)],
    );
    check(
        "block try block try throw $plain delegate 2 end catch_all end end",
        &[(&[], Throws)],
    );
    check(
        "(param i32) (result i32) try (result i32) try local.get 0 call $select delegate 1 i32.const 1 catch_all i32.const 2 end",
        &[(&[I(0)], With(1)), (&[I(1)], Throws)],
    );
    // What is thrown beside it is caught as ever.
    check(
        "(param i32 i32) (result i32) try $t (result i32) local.get 0 call $select try (result i32) local.get 1 call $select i32.const 1 delegate $t catch $plain i32.const 2 end",
        &[
            (&[I(0), I(0)], With(1)),
            (&[I(1), I(0)], With(2)),
            (&[I(2), I(0)], Throws),
            (&[I(0), I(1)], With(2)),
            (&[I(0), I(2)], Throws),
        ],
    );
    // From one delegate to the next, and out of a handler.
    check(
        "(result i32)
         try (result i32)
           try $far
             try
               try $near
                 try try throw $plain delegate $near catch_all unreachable end
               delegate $far
             catch_all unreachable end
           catch_all try throw $plain delegate $far end
           unreachable
         catch_all i32.const 1 end",
        &[(&[], With(1))],
    );
    // With parameters, results and values of the exception.
    check(
        "(param i32) (result i32)
         local.get 0
         try $t (param i32) (result i32)
           try (param i32) (result i32)
             try (param i32) (result i32) call $throw_int i32.const 0 delegate $t
             i32.const 1000 i32.add
           catch_all unreachable end
         catch $int i32.const 1 i32.add end",
        &[(&[I(5)], With(6))],
    );
    // Thrown on after it was delivered.
    check(
        "(result i32)
         try (result i32)
           try $t try try i32.const 9 call $throw_int delegate $t catch_all unreachable end catch_all rethrow 0 end
           unreachable
         catch $int end",
        &[(&[], With(9))],
    );
}

#[test]
fn tail_calls_leave_the_try() {
    check("try return_call $throw catch $plain end", &[(&[], Throws)]);
    check(
        "try i32.const 0 return_call_indirect catch $plain end",
        &[(&[], Throws)],
    );
    check(
        "try $t try return_call $throw delegate $t catch $plain end",
        &[(&[], Throws)],
    );
    check(
        "try $t try i32.const 0 return_call_indirect delegate $t catch $plain end",
        &[(&[], Throws)],
    );
}

#[test]
fn branches() {
    check("try br 0 catch $plain end", &[(&[], Returns)]);
    check("try br 0 catch_all end", &[(&[], Returns)]);
    check("try br 0 delegate 0", &[(&[], Returns)]);
    for thrown in ["call $throw", "throw $plain"] {
        let function = format!(
            "(result i32) try $outer (result i32) try (result i32) block $a try br $a delegate $outer end {thrown} i32.const 0 catch $plain i32.const 1 end catch $plain i32.const 2 end"
        );
        check(&function, &[(&[], With(1))]);
    }
    // Out of bodies and handlers, to labels inside and outside.
    check(
        "(param i32) (result i32)
         block $c block $b block $a
           try local.get 0 call $select local.get 0 br_table $a $b $c
           catch $plain br $b
           catch_all try br $c catch_all end
           end
         end i32.const 10 return end i32.const 20 return end i32.const 30",
        &[
            (&[I(0)], With(10)),
            (&[I(1)], With(20)),
            (&[I(2)], With(30)),
            (&[I(3)], With(30)),
        ],
    );
    check(
        "(param i32) (result i32) (local i32)
         loop $again
           try local.get 0 call $select
           catch_all
             local.get 0 i32.const 1 i32.sub local.set 0
             local.get 1 i32.const 1 i32.add local.set 1
             br $again
           end
         end local.get 1",
        &[(&[I(0)], With(0)), (&[I(1)], With(1)), (&[I(2)], With(2))],
    );
    check(
        "(param i32) (result i32) try (result i32) i32.const 5 local.get 0 br_if 0 drop throw $plain catch $plain i32.const 6 local.get 0 i32.eqz br_if 0 drop unreachable end",
        &[(&[I(0)], With(6)), (&[I(1)], With(5))],
    );
    check(
        "(result i32) try (result i32) i32.const 4 return catch_all i32.const 5 end",
        &[(&[], With(4))],
    );
}

#[test]
fn unreachable_code() {
    check(
        "(result i32) i32.const 1 return try (result i32) i32.const 2 catch $int end",
        &[(&[], With(1))],
    );
    check(
        "(result i32) i32.const 1 return try (param i32) (result i32) throw $plain catch $int rethrow 0 end",
        &[(&[], With(1))],
    );
    check(
        "(result i32) i32.const 1 br 0 try try rethrow_not delegate 1 catch_all end"
            .replace("rethrow_not", "nop")
            .as_str(),
        &[(&[], With(1))],
    );
}

#[test]
fn invalid_ones_are_refused() {
    let engine = engine();
    for function in [
        "(result i32) try (result i32) end",
        "(result i32) try (result i32) i64.const 42 end",
        "try catch 0 i32.const 42 end",
        "(result i32) try (result i32) i32.const 42 catch $long end",
        "try catch_all i32.const 42 end",
        "rethrow 0",
        "block rethrow 0 end",
        "try rethrow 0 delegate 0",
        "try delegate 1",
        "try catch 99 end",
        "throw 99",
        "throw $int",
        "i64.const 5 throw $int",
    ] {
        let wasm = wat::parse_str(format!("(module {COMMON} (func {function}))")).unwrap();
        let refused = validate(&engine, &wasm, "test").expect_err(function);
        assert!(
            refused
                .to_string()
                .contains("is not a valid WebAssembly module"),
            "{refused}"
        );
    }
}
