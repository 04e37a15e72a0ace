//! Arguments arrive whole: empty ones, spaces, quotes, newlines, letters outside ASCII.

fn main() {
    let args: Vec<String> = std::env::args().collect();
    println!("{} arguments", args.len());
    for arg in &args {
        println!("{arg:?}");
    }
}
