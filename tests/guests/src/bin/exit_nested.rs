//! `proc_exit` ends the guest from any depth: no caller goes on, no destructor runs.

struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        println!("{} was dropped", self.0);
    }
}

/// Compares nothing: it ends the program instead.
fn leave(a: &i32, b: &i32) -> std::cmp::Ordering {
    if std::hint::black_box(true) {
        std::process::exit(9);
    }
    a.cmp(b)
}

fn descend(depth: u32) -> u32 {
    let _guard = Loud("a frame");
    if std::hint::black_box(depth) == 0 {
        println!("at the bottom");
        let mut numbers = [3, 1, 2];
        // From inside a callback, too.
        numbers.sort_by(leave);
        return 0;
    }
    let below = descend(depth - 1);
    println!("came back to {depth}");
    below + 1
}

fn main() {
    let _guard = Loud("main");
    println!("depth {}", descend(100));
}
