//! The exit code is the guest's, to the last bit that a process has.

fn main() {
    let code: i32 = std::env::args().nth(1).unwrap().parse().unwrap();
    println!("leaving with {code}");
    std::process::exit(code);
}
