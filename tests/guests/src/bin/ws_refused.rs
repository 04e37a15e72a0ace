//! What isn't granted, commands that are none, limits.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};

use transcript::conversation::{Conversation, name, network, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut agent = Conversation::begin("/cap/ws").expect("a conversation");
    let host = server.strip_prefix("ws://").expect("ws");
    for command in [
        "connect ws://127.0.0.1:1/".to_owned(),
        format!("connect wss://{host}/echo"),
        format!("connect http://{host}/echo"),
        format!("connect ws://user:password@{host}/echo"),
        format!("connect {server}/echo#part"),
        format!("connect {server}/echo chat chat"),
        format!("connect {server}/echo a,b"),
        "connect".to_owned(),
        "connect nowhere".to_owned(),
        "hangup".to_owned(),
        "hangup 1001".to_owned(),
        "hangup now".to_owned(),
        "sing".to_owned(),
    ] {
        println!("{command}: {}: {}", outcome(&agent.tell(&command)), agent.text("error"));
    }
    for (path, protocol) in [("/refuse", ""), ("/echo", " unknown")] {
        let refused = agent.tell(&format!("connect {server}{path}{protocol}"));
        println!("{path}{protocol}: {}, explained: {}", network(&refused), !agent.text("error").is_empty());
    }
    println!("{}", agent.text("status"));
    println!("writing policy: {}", outcome(&fs::write("/cap/ws/policy", "x")));

    agent.tell(&format!("connect {server}/large")).expect("a connection");
    let mut socket = OpenOptions::new().read(true).write(true).open(agent.path("data")).expect("data");
    println!("too long: {}: {}", outcome(&socket.write(&[b'x'; 1_001])), agent.text("error"));
    socket.write_all(b"1000").expect("a length");
    println!("1000: {}", socket.read(&mut [0; 2_000]).expect("a message"));
    drop(socket);
    let mut other = Conversation::begin("/cap/ws").expect("a conversation");
    other.tell(&format!("connect {server}/large")).expect("a connection");
    let mut socket = OpenOptions::new().read(true).write(true).open(other.path("data")).expect("data");
    socket.write_all(b"1001").expect("a length");
    println!("1001: {}", outcome(&socket.read(&mut [0; 2_000])));
    drop((agent, other, socket));

    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..10_000 {
        match Conversation::begin("/cap/ws") {
            Ok(conversation) => kept.push(conversation),
            Err(error) if name(&error) == "MFILE" => refused += 1,
            Err(error) => println!("another error: {}", name(&error)),
        }
    }
    println!("{} conversations, {refused} refused", kept.len());
    for conversation in kept.iter_mut().take(4) {
        let connected = conversation.tell(&format!("connect {server}/echo"));
        println!("one more: {}: {}", outcome(&connected), conversation.text("error"));
    }
    kept.clear();
    let left = fs::read_dir("/cap/ws").expect("listing").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_str().expect("a name").parse::<u32>().is_ok()
    });
    println!("{} left", left.count());
}
