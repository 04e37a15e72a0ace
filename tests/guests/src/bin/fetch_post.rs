//! Bodies that are sent.

use std::fs::{self, OpenOptions};
use std::io::Write;

use transcript::conversation::{Conversation, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut post = Conversation::begin("/cap/fetch").expect("a conversation");
    post.tell(&format!("url {server}/echo\nheader x-kind: post")).expect("settings");
    fs::write(post.path("postbody"), "written at once").expect("a body");
    print!("{}", fs::read_to_string(post.path("body")).expect("an answer"));
    println!("{}", post.text("status"));

    // What was sent is gone.
    print!("{}", fs::read_to_string(post.path("body")).expect("an answer"));

    // In parts, and by another method.
    post.tell("method PUT").expect("a method");
    for part in ["first, ", "second, ", "third"] {
        let mut file = OpenOptions::new().append(true).open(post.path("postbody")).expect("postbody");
        file.write_all(part.as_bytes()).expect("a part");
    }
    print!("{}", fs::read_to_string(post.path("body")).expect("an answer"));

    // Behind `send`: the request ends where the body is closed.
    let mut file = OpenOptions::new().write(true).open(post.path("postbody")).expect("postbody");
    file.write_all(b"before, ").expect("a part");
    post.tell("send").expect("sending");
    println!("send again: {}", outcome(&post.tell("send")));
    for _ in 0..200 {
        file.write_all(&[b'x'; 5_000]).expect("a part");
    }
    drop(file);
    print!("{}", fs::read_to_string(post.path("body")).expect("an answer"));

    let much = fs::write(post.path("postbody"), vec![b'x'; 2_000_001]);
    println!("too much: {}: {}", outcome(&much), post.text("error"));
    post.tell("abort\nmethod GET").expect("a method");
    fs::write(post.path("postbody"), "x").expect("a body");
    let body = fs::read(post.path("body"));
    println!("GET with a body: {}: {}", outcome(&body), post.text("error"));
}
