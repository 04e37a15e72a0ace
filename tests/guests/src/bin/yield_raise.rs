//! `sched_yield` comes back; `proc_raise` ignores, refuses or ends.

use transcript::code_name;
use transcript::wasi::wasi_snapshot_preview1 as raw;

fn main() {
    // SAFETY: numbers are all that is passed.
    unsafe {
        println!("yield: {}", (0..1_000).all(|_| raw::sched_yield() == 0));
        println!("no signal: {}", code_name(raw::proc_raise(0)));
        println!("a child's end is ignored: {}", code_name(raw::proc_raise(16)));
        println!("signal 200: {}", code_name(raw::proc_raise(200)));
        println!("now the real one");
        raw::proc_raise(6);
    }
    println!("never said");
}
